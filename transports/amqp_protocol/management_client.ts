import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { errorText } from "../../model/error_text.ts";
import {
  AccessRefusedError,
  ConnectionError,
  MessagingError,
  NotFoundError,
} from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import { hideSecrets } from "../../model/secrets.ts";
import { notAnswered } from "../connection_errors.ts";
import type { Inspection, QueueInfo } from "../inspection.ts";

/** So many queues are asked for at once, the most that RabbitMQ allows. */
const PAGE = 500;

/** What is counted of messages that come into a queue, and of those that leave it. */
const COUNTED_IN = ["publish"];
const COUNTED_OUT = ["ack", "deliver_no_ack", "get_no_ack"];

/** The fields of a queue that are of use: the others cost the server more than these. */
const COLUMNS = [
  "name",
  "durable",
  "exclusive",
  "auto_delete",
  "arguments",
  "messages_ready",
  "messages_unacknowledged",
  "message_bytes",
  "consumers",
  "head_message_timestamp",
  ...COUNTED_IN.concat(COUNTED_OUT).map((name) => `message_stats.${name}`),
].join(",");

/** The place of an API, and what it shares with its connection. */
export interface ManagementSettings {
  /** The URL, without a user. */
  readonly base: string;
  readonly virtualHost: string;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly operationTimeout: number;
  /** Bytes of an answer. */
  readonly maxResponseSize: number;
  login(
    call: CallOptions,
  ): Promise<{ readonly username: string; readonly password: string }>;
}

type Json = Readonly<Record<string, unknown>>;

/** What it has answered. */
interface Answered {
  /** `undefined` if what was asked for is not there. */
  readonly value: unknown;
  /** Its time, as HTTP writes it. */
  readonly date: string | null;
}

/** RabbitMQ's management API: it tells of all that is in a virtual host, as it was up to some seconds ago. */
export class ManagementApi implements Inspection {
  readonly #settings: ManagementSettings;

  /** Makes one that has asked nothing yet. */
  constructor(settings: ManagementSettings) {
    this.#settings = settings;
  }

  async *queues(
    limits: () => CallOptions,
  ): AsyncIterable<readonly QueueInfo[]> {
    const told = new Set<string>();
    let pages = 1;
    for (let page = 1; page <= pages; page++) {
      const query =
        `?page=${page}&page_size=${PAGE}&pagination=true&sort=name&columns=${COLUMNS}`;
      const action = "list the queues";
      const answer = table(
        await this.#get("queues", query, action, limits()),
      );
      pages = Number(answer.page_count ?? 1);
      // Those that are declared or deleted meanwhile move others over the pages' ends.
      yield listIn(answer.items).map((each) => this.#infoOf(each))
        .filter(({ name }) => told.size < told.add(name).size);
    }
  }

  async queue(name: string, options?: CallOptions): Promise<QueueInfo> {
    const action = `look at queue "${name}"`;
    const place = `/${encodeURIComponent(name)}?columns=${COLUMNS}`;
    const answer = await this.#get("queues", place, action, options);
    if (answer === undefined) {
      throw new NotFoundError(`Cannot ${action}: there is no such queue`);
    }
    return this.#infoOf(table(answer));
  }

  async exchanges(
    options?: CallOptions,
  ): Promise<readonly ExchangeDeclaration[]> {
    const all = await this.#get("exchanges", "", "list the exchanges", options);
    return listIn(all).filter(({ name }) => name !== "").map((each) => ({
      name: String(each.name),
      type: String(each.type) as ExchangeDeclaration["type"],
      durable: each.durable === true,
      autoDelete: each.auto_delete === true,
      internal: each.internal === true,
      arguments: argumentsIn(each.arguments),
    }));
  }

  async bindings(options?: CallOptions): Promise<readonly Binding[]> {
    const all = await this.#get("bindings", "", "list the bindings", options);
    return listIn(all).filter(({ source }) => source !== "").map((each) => ({
      source: String(each.source),
      destination: {
        kind: each.destination_type === "exchange" ? "exchange" : "queue",
        name: String(each.destination),
      },
      routingKey: String(each.routing_key),
      arguments: argumentsIn(each.arguments),
    }));
  }

  /** Tells the server's time in whole seconds, ms since 1970; `undefined` where it tells none. */
  async time(options?: CallOptions): Promise<number | undefined> {
    // What every virtual host has.
    const place = "/amq.direct?columns=name";
    const { date } = await this.#answer(
      "exchanges",
      place,
      "ask for the time",
      options,
    );
    const time = Date.parse(date ?? "");
    return Number.isNaN(time) ? undefined : time;
  }

  #infoOf(queue: Json): QueueInfo {
    const name = String(queue.name);
    const timestamp = numberIn(queue.head_message_timestamp);
    const total = totalsIn(queue.message_stats);
    const now = this.#settings.clock.wall();
    return {
      name,
      declaration: {
        name,
        durable: queue.durable === true,
        exclusive: queue.exclusive === true,
        autoDelete: queue.auto_delete === true,
        arguments: argumentsIn(queue.arguments),
      },
      ready: numberIn(queue.messages_ready),
      delayed: undefined, // they wait in queues of their own
      unacked: numberIn(queue.messages_unacknowledged),
      consumers: numberIn(queue.consumers),
      oldestAge: timestamp === undefined
        ? undefined
        : Math.max(0, now / 1000 - timestamp),
      bytes: numberIn(queue.message_bytes),
      published: total(COUNTED_IN),
      consumed: total(COUNTED_OUT),
    };
  }

  /** Asks for something of the virtual host; `undefined` if it is not there. */
  async #get(
    kind: "queues" | "exchanges" | "bindings",
    rest: string,
    action: string,
    options?: CallOptions,
  ): Promise<unknown> {
    return (await this.#answer(kind, rest, action, options)).value;
  }

  async #answer(
    kind: "queues" | "exchanges" | "bindings",
    rest: string,
    action: string,
    options: CallOptions = {},
  ): Promise<Answered> {
    const { base, virtualHost, limits, clock, operationTimeout } =
      this.#settings;
    limits.check(options, () => action);
    const deadline = options.deadline ?? clock.now() + operationTimeout;
    const controller = new AbortController();
    const host = encodeURIComponent(virtualHost);
    const asking = this.#ask(
      `${base}/api/${kind}/${host}${rest}`,
      action,
      { ...options, deadline },
      controller.signal,
    );
    try {
      return await limits.wait(
        asking,
        { signal: options.signal, deadline },
        () => notAnswered(action, "not-sent", "RabbitMQ's management API"),
      );
    } finally {
      controller.abort(); // if it is still under way, nobody waits for it
    }
  }

  async #ask(
    url: string,
    action: string,
    call: CallOptions,
    signal: AbortSignal,
  ): Promise<Answered> {
    const { base, maxResponseSize } = this.#settings;
    const { username, password } = await this.#settings.login(call);
    const bytes = new TextEncoder().encode(`${username}:${password}`);
    const login = btoa(String.fromCharCode(...bytes));
    try {
      const response = await fetch(url, {
        headers: {
          accept: "application/json",
          authorization: `Basic ${login}`,
        },
        redirect: "error",
        signal,
      });
      const text = await readText(response, maxResponseSize);
      const date = response.headers.get("date");
      if (response.ok) return { value: JSON.parse(text), date };
      if (response.status === 404) return { value: undefined, date };
      if (response.status === 401 || response.status === 403) {
        throw new AccessRefusedError(
          `Cannot ${action}: the management API at "${base}" refused the user "${username}"; it needs the tag "management", and access to the virtual host`,
        );
      }
      throw new Error(`it answered ${response.status}`);
    } catch (error) {
      hideSecrets(error, [password, login], base);
      if (error instanceof MessagingError) throw error;
      throw new ConnectionError(
        `Cannot ${action} by the management API at "${base}": ${
          errorText(error)
        }`,
        { code: "connection-failed", cause: error, outcome: "not-sent" },
      );
    }
  }
}

/** Reads an answer, no more of it than is allowed. */
async function readText(response: Response, most: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > most) throw new ResponseTooLargeError(most);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function isTable(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function table(value: unknown): Json {
  return isTable(value) ? value : {};
}

function listIn(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isTable) : [];
}

/** Reads sums of what it has counted. What has not happened yet is not there; without any of it nothing is known. */
function totalsIn(
  stats: unknown,
): (names: readonly string[]) => number | undefined {
  if (!isTable(stats)) return () => undefined;
  return (names) =>
    names.reduce((sum, name) => sum + (numberIn(stats[name]) ?? 0), 0);
}

function numberIn(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** What is declared is what AMQP can say: JSON of it has no other types. */
function argumentsIn(value: unknown): FieldTable {
  return table(value) as FieldTable;
}
