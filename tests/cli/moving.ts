import { type Connection, createConnection, Queue } from "@dashi/mq";
import { run } from "@dashi/mq/cli";
import { unique } from "../conformance/support.ts";
import type { Ended } from "./running.ts";

/** The brokers that the tests know of, by their names. */
export const BROKERS: Readonly<Record<string, string | undefined>> = {
  Redis: Deno.env.get("DASHI_TEST_REDIS_URL"),
  "Redis Cluster": Deno.env.get("DASHI_TEST_REDIS_CLUSTER_URL"),
  RabbitMQ: Deno.env.get("DASHI_TEST_AMQP_URL"),
  MongoDB: Deno.env.get("DASHI_TEST_MONGODB_URL"),
  SQS: Deno.env.get("DASHI_TEST_SQS_URL"),
  beanstalkd: Deno.env.get("DASHI_TEST_BEANSTALK_URL"),
  CouchDB: Deno.env.get("DASHI_TEST_COUCHDB_URL"),
  PostgreSQL: Deno.env.get("DASHI_TEST_POSTGRES_URL"),
  SQLite: `sqlite:${Deno.makeTempDirSync()}/moved.db`,
  NATS: Deno.env.get("DASHI_TEST_NATS_URL"),
  memory: "memory://",
};

/** How the program is run here. */
export interface RunHere {
  readonly from: string;
  /** The URL of the other broker. */
  readonly to?: string | undefined;
  /** That of the management API of the first. */
  readonly managementUrl?: string | undefined;
  /** Called with what asks it to end, as Ctrl-C does. */
  readonly onInterrupt?: ((interrupt: () => void) => void) | undefined;
  /** Called with each line on standard error. */
  readonly onTold?: ((line: string) => void) | undefined;
  /** Called when something is written. */
  readonly onWritten?: ((text: string) => void) | undefined;
}

/** Whether it is the last line of a queue: before it comes one a second. */
export function isDone({ done }: { readonly done?: boolean }): boolean {
  return done === true;
}

/** Runs the program in this process, its output in a pipe. */
export async function dashiHere(
  args: readonly string[],
  { from, to, managementUrl, onInterrupt, onTold, onWritten }: RunHere,
): Promise<Ended> {
  let [out, err] = ["", ""];
  const variables: Readonly<Record<string, string | undefined>> = {
    DASHI_URL: from,
    DASHI_TO_URL: to,
    DASHI_MANAGEMENT_URL: managementUrl,
  };
  const code = await run({
    args,
    columns: undefined,
    isPiped: false,
    variable: (name) => variables[name],
    write: (text) => {
      out += text;
      onWritten?.(text);
      return Promise.resolve();
    },
    tell: (line) => {
      err += `${line}\n`;
      onTold?.(line);
    },
    read: () => Promise.reject(new Error("there is no such file")),
    async *input() {},
    onInterrupt: (callback) => {
      onInterrupt?.(callback);
      return () => {};
    },
  });
  const rows = out.trim().split("\n").filter((each) => each !== "")
    .map((each) => JSON.parse(each));
  return { code, out, err, rows };
}

/** A queue of one name on two brokers. */
export class Pair implements AsyncDisposable {
  readonly name: string = unique("move");
  readonly source: Connection;
  readonly target: Connection;

  readonly #from: string;
  readonly #to: string;

  constructor(from: string, to: string) {
    this.#from = from;
    this.#to = to;
    const settings = { onUnhandled: () => {} };
    this.source = createConnection(from, settings);
    this.target = createConnection(to, settings);
  }

  /** Declares it at the source, and both are connected. */
  async open(queue: Queue = new Queue(this.name)): Promise<void> {
    await this.source.declare(queue);
    await this.target.connect();
  }

  /** Puts so many numbers into the queue, each with an id. */
  async fill(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, (_, i) => i);
    const producer = this.source.producer({ queue: this.name });
    const { published } = await producer.publishAll(numbers, {
      each: (i) => ({ messageId: `id-${i}` }),
    });
    if (published !== count) throw new Error("not all are published");
  }

  /** Moves it. */
  move(
    args: readonly string[] = [],
    others: Partial<RunHere> = {},
  ): Promise<Ended> {
    return dashiHere(["move", this.name, ...args], {
      from: this.#from,
      to: this.#to,
      ...others,
    });
  }

  /** Takes all that is ready at the target: how often each id is there. */
  async arrived(name: string = this.name): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    let { messageCount } = await this.target.queueStatus(name);
    if (messageCount === 0) return counts;
    await using consumer = this.target.consumer(name, {
      autoAck: true,
      prefetch: 1000,
    });
    for await (const { properties: { messageId = "" } } of consumer) {
      counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
      if (--messageCount === 0) break;
    }
    return counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.delete(this.name).catch(() => {});
    await this.target.delete(this.name).catch(() => {});
    await this.source.close();
    await this.target.close();
  }
}
