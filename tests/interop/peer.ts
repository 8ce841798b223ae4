/** A process of Python with Kombu that does what a test says. */

import { type FieldValue, TypedValue } from "@dashi/mq";

const PROGRAM = new URL("peer.py", import.meta.url).pathname;

/** A message as Kombu saw it. */
export interface Seen {
  /** Its payload, as {@linkcode shown} shows it. */
  readonly payload?: unknown;
  /** Why it could not be read. */
  readonly error?: string;
  /** Names it for `settle`, if it was held. */
  readonly number: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly content_type: string | null;
  readonly content_encoding: string | null;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly exchange: string;
  readonly routing_key: string;
  readonly redelivered: boolean;
}

/** An exchange, as the peer is told of it. */
export interface ExchangeSpec {
  readonly name: string;
  readonly type?: string;
  readonly durable?: boolean;
}

/** A queue, as the peer is told of it; without bindings the default exchange alone leads to it. */
export interface QueueSpec {
  readonly name: string;
  readonly bindings?: readonly {
    readonly exchange: ExchangeSpec;
    readonly routing_key?: string;
    readonly arguments?: unknown;
  }[];
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The settlement of the messages that the peer takes. */
export type Then = "ack" | "requeue" | "reject" | "hold";

/** The peer. Disposing of it ends it in order: it gives back what it holds. */
export class Peer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";
  #ended = false;

  /** Starts one for a broker; it connects with the first request that needs it. */
  constructor(
    python: string,
    url: string,
    transportOptions: Readonly<Record<string, unknown>> = {},
  ) {
    this.#child = new Deno.Command(python, {
      args: [PROGRAM, url, JSON.stringify(transportOptions)],
      env: { PYTHONDONTWRITEBYTECODE: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.getReader();
  }

  /** Declares queues, with their exchanges and bindings. */
  async declare(...queues: readonly QueueSpec[]): Promise<void> {
    await this.#ask("declare", { queues });
  }

  /** Deletes a queue. */
  async delete(queue: QueueSpec): Promise<void> {
    await this.#ask("delete", { queue });
  }

  /** Publishes a payload, or so many numbers from 0. Names are Kombu's. */
  async publish(
    options: Readonly<Record<string, unknown>> & {
      readonly body?: unknown;
      readonly times?: number;
      readonly exchange?: ExchangeSpec;
      readonly routing_key?: string;
      readonly declare?: readonly QueueSpec[];
      readonly batch?: boolean;
    },
  ): Promise<void> {
    await this.#ask("publish", options);
  }

  /** Starts a consumer under a key of the caller's. */
  async consume(
    key: string,
    queues: readonly QueueSpec[],
    options: {
      readonly accept?: readonly string[];
      readonly prefetch?: number;
      readonly no_ack?: boolean;
    } = {},
  ): Promise<void> {
    await this.#ask("consume", { key, queues, ...options });
  }

  /** Waits for so many of its messages. */
  async take(
    key: string,
    count: number,
    then: Then = "ack",
  ): Promise<readonly Seen[]> {
    return list(await this.#ask("take", { key, count, then })).map(seen);
  }

  /** Waits a moment whether more comes, and says how much. */
  async quiet(key: string): Promise<unknown> {
    return await this.#ask("quiet", { key });
  }

  /** Ends a consumer. */
  async cancel(key: string): Promise<void> {
    await this.#ask("cancel", { key });
  }

  /** Consumes so many messages of a queue, and no more. */
  async receive(
    queue: QueueSpec,
    count: number,
    options: {
      readonly accept?: readonly string[];
      readonly then?: Then;
      readonly prefetch?: number;
    } = {},
  ): Promise<readonly Seen[]> {
    const { accept, then = "ack", prefetch = count } = options;
    await this.consume("once", [queue], {
      ...(accept === undefined ? {} : { accept }),
      prefetch,
    });
    const messages = await this.take("once", count, then);
    await this.cancel("once");
    return messages;
  }

  /** Gets one message. */
  async get(queue: QueueSpec, then: Then = "ack"): Promise<Seen | undefined> {
    const message = await this.#ask("get", { queue, then });
    return message === null ? undefined : seen(message);
  }

  /** Settles a message that it holds. */
  async settle(number: number, then: Then): Promise<void> {
    await this.#ask("settle", { number, then });
  }

  /** Puts into a simple queue. */
  async simplePut(name: string, body: unknown): Promise<void> {
    await this.#ask("simple_put", { name, body });
  }

  /** Gets from a simple queue. */
  async simpleGet(name: string): Promise<Seen> {
    return seen(await this.#ask("simple_get", { name }));
  }

  /** Sweeps the overdue tables of bindings, as consumers of expiring queues do. */
  async sweepBindings(): Promise<unknown> {
    return await this.#ask("sweep_bindings", {});
  }

  /** Sends a command to the Redis that it is connected to. */
  async redis(...command: readonly (string | number)[]): Promise<unknown> {
    return await this.#ask("redis", {}, command);
  }

  /** Sends a task as a client of Celery; returns its id. */
  async sendTask(
    options: Readonly<Record<string, unknown>> & {
      readonly backend: string;
      readonly name: string;
      readonly args: readonly unknown[];
      readonly kwargs: Readonly<Record<string, unknown>>;
    },
  ): Promise<string> {
    const answer = await this.#ask("send_task", options);
    return String(record(answer).id);
  }

  /** Waits for the result of the task that it sent last. */
  async result(): Promise<unknown> {
    return await this.#ask("result", {});
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.#ended = true;
    this.#child.kill("SIGKILL");
    await this.#writer.close().catch(() => {});
    await this.#release();
  }

  /** Ends it in order. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#writer.close().catch(() => {});
    await this.#release();
  }

  async #release(): Promise<void> {
    await this.#child.status;
    await this.#reader.cancel();
  }

  async #ask(
    method: string,
    args: Readonly<Record<string, unknown>>,
    values: readonly unknown[] = [],
  ): Promise<unknown> {
    const line = JSON.stringify({ method, arguments: args, list: values });
    await this.#writer.write(new TextEncoder().encode(`${line}\n`));
    const answer = record(JSON.parse(await this.#line()));
    if (answer.error === undefined) return answer.answer;
    throw new Error(`Kombu could not ${method}: ${answer.error}`);
  }

  /** Reads only while it is asked: between tests nothing is pending. */
  async #line(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const { done, value } = await this.#reader.read();
      if (done) throw new Error("The peer has ended before it answered");
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }
}

/** How the peer shows a value, and how it is told of one. */
export function shown(value: unknown): unknown {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    return { $int: String(value) };
  }
  if (value instanceof Date) {
    return { $datetime: value.toISOString().replace(/(\.000)?Z$/, "") };
  }
  if (value instanceof Uint8Array) return { $bytes: value.toHex() };
  if (value instanceof TypedValue) return { [`$${value.type}`]: String(value) };
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, shown(each)]),
  );
}

/** Headers of every type that both sides carry. */
export const HEADERS: Readonly<Record<string, FieldValue>> = {
  zero: 0,
  small: 127,
  byte: 128,
  short: 300,
  word: 40_000,
  negative: -7,
  lower: -300,
  least: -40_000,
  int: 2 ** 31 - 1,
  long: 2 ** 31,
  longNegative: -(2 ** 40),
  last: 2 ** 53 - 1,
  big: 2n ** 62n,
  float: 1.5,
  text: "é",
  yes: true,
  nothing: null,
  date: new Date("2024-05-06T07:08:09Z"),
  bytes: Uint8Array.of(255, 0),
  list: [1, "a", null, [-1]],
  table: { deep: { n: -1 } },
};

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new TypeError(`${JSON.stringify(value)} is no list`);
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null) return { ...value };
  throw new TypeError(`${JSON.stringify(value)} is no object`);
}

function seen(value: unknown): Seen {
  const { properties, ...rest } = record(value);
  const text = (each: unknown) => typeof each === "string" ? each : null;
  return {
    ...("payload" in rest ? { payload: rest.payload } : {}),
    ...("error" in rest ? { error: String(rest.error) } : {}),
    number: Number(rest.number),
    headers: record(rest.headers),
    content_type: text(rest.content_type),
    content_encoding: text(rest.content_encoding),
    properties: record(properties),
    exchange: String(rest.exchange),
    routing_key: String(rest.routing_key),
    redelivered: rest.redelivered === true,
  };
}
