/** The traffic of a cluster while its nodes are restarted one by one, and the outcomes of its messages. */

import { assert } from "@std/assert";
import {
  type Connection,
  type Consumer,
  createConnection,
  Exchange,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { Ledger } from "../chaos/ledger.ts";

/** How long one thing may take that ought to happen, ms: a node is away for half a minute. */
const PATIENCE = 120_000;
/** Between two messages of one kind, ms. */
const PACE = 20;

/** One kind of traffic: its messages, and how they are taken. */
interface Stream {
  readonly name: string;
  readonly ledger: Ledger;
  /** Whether all that was confirmed must arrive; what goes to queues of a node that is away need not. */
  readonly isKept: boolean;
  publish(id: number): Promise<void>;
}

/** The traffic of one client: three connections, each with a node of its own as the first. */
export class ClusterTraffic {
  readonly #connections: readonly Connection[];
  readonly #streams: Stream[] = [];
  readonly #consumers: Pick<Consumer, "health">[] = [];
  /** By the name of what consumes: why it has ended. Must stay empty. */
  readonly ended: Map<string, unknown> = new Map();
  /** Publishes that were not confirmed, and why. */
  readonly refused: Map<string, number> = new Map();
  readonly #running: Promise<void>[] = [];
  #stopped = false;
  #next = 0;
  #closing = false;

  /** Makes traffic between nodes, by one of the transports. */
  constructor(name: string, urls: readonly string[]) {
    this.#connections = urls.map((_, i) =>
      createConnection([...urls.slice(i), ...urls.slice(0, i)], {
        heartbeat: 5000,
        operationTimeout: 60_000,
        reconnect: { initialDelay: 50, maxDelay: 500 },
      })
    );
    const id = (what: string) => `dashi-cluster-${name}-${what}`;
    const quorum = new Queue(id("quorum"), {
      arguments: { "x-queue-type": "quorum" },
    });
    const [first, second, third] = this.#connections;
    assert(first !== undefined && second !== undefined && third !== undefined);
    // A classic queue is where its first declare was: one on each node.
    const classic = this.#connections.map((_, i) =>
      new Queue(id(`classic-${i}`))
    );
    classic.forEach((queue, i) => {
      this.#stream(queue.name, this.#connections[i] ?? first, {
        declare: [queue],
        routingKey: queue.name,
      });
    });
    this.#stream(quorum.name, second, {
      declare: [quorum],
      routingKey: quorum.name,
    });
    const delayed = new Queue(id("delayed"), {
      arguments: { "x-queue-type": "quorum" },
    });
    this.#stream(delayed.name, third, {
      declare: [delayed],
      routingKey: delayed.name,
      delay: 2000,
    });
    const iterated = new Queue(id("iterated"), {
      arguments: { "x-queue-type": "quorum" },
    });
    this.#stream(iterated.name, first, {
      declare: [iterated],
      routingKey: iterated.name,
    });
    // One consumer of four queues, of which one is missing now and then.
    this.#run("run of several queues", first, [quorum, ...classic]);
    this.#run("run of what was delayed", second, [delayed]);
    this.#iterate("for await", third, iterated);
    const news = new Exchange(id("news"), { type: "fanout" });
    this.#stream(news.name, second, { exchange: news, isKept: false });
    this.#connections.forEach((connection, i) => {
      const queue = new Queue("", { exclusive: true, exchange: news });
      this.#run(`run of a server-named queue ${i}`, connection, [queue]);
    });
    this.#running.push(this.#look("passive declares", second, quorum.name));
  }

  /** Begins, and waits until something of each kind has come. */
  async begin(): Promise<void> {
    // One after the other, so that each is declared by its own connection first.
    for (const stream of this.#streams) await this.#send(stream);
    for (const stream of this.#streams) this.#pump(stream);
    await this.progress("the beginning");
  }

  /** Waits until something new of each kind that is kept on several nodes has come. */
  async progress(what: string, names?: RegExp): Promise<void> {
    const streams = this.#streams.filter(({ name }) =>
      names?.test(name) ?? true
    );
    const before = streams.map(({ ledger }) => ledger.delivered);
    await this.#until(
      () =>
        streams.every(({ ledger }, i) =>
          ledger.delivered >= (before[i] ?? 0) + 3
        ),
      () =>
        `${what}: nothing new came of ${
          streams.filter(({ ledger }, i) =>
            ledger.delivered < (before[i] ?? 0) + 3
          ).map(({ name }) => name)
        }; ${this.report()}`,
    );
  }

  /** Sends no more, and waits for all that was confirmed. */
  async settle(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    const kept = this.#streams.filter(({ isKept }) => isKept);
    await Promise.all(kept.map(({ ledger }) => ledger.settle()));
  }

  /** The messages that were confirmed and never came, by kind; and those that came and nobody has sent. */
  get faults(): readonly string[] {
    return this.#streams.flatMap(({ name, ledger, isKept }) => {
      const { lost, unexpected } = ledger.tally();
      return [
        ...(isKept && lost > 0 ? [`${name}: ${lost} lost`] : []),
        ...(unexpected > 0 ? [`${name}: ${unexpected} unexpected`] : []),
      ];
    });
  }

  /** The ledgers of the streams that are kept. */
  get ledgers(): readonly Ledger[] {
    return this.#streams.filter(({ isKept }) => isKept).map(({ ledger }) =>
      ledger
    );
  }

  /** For people. */
  report(): string {
    return Deno.inspect({
      streams: Object.fromEntries(this.#streams.map(({ name, ledger }) => {
        const { published, confirmed, delivered, lost, gap } = ledger.tally();
        return [name, { published, confirmed, delivered, lost, gap }];
      })),
      ended: this.ended,
      refused: this.refused,
      health: this.#consumers.map((each) => each.health()),
    }, { depth: 4 });
  }

  /** Ends it, and what it declared. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#stopped = true;
    await Promise.all(this.#running);
    const [first] = this.#connections;
    const channel = await first?.channel();
    for (const { name } of this.#streams) {
      if (name.endsWith("news")) await channel?.deleteExchange(name);
      else await channel?.deleteQueue(name);
    }
    await Promise.all(this.#connections.map((each) => each.close()));
  }

  #stream(
    name: string,
    connection: Connection,
    { isKept = true, delay, ...options }: {
      readonly declare?: readonly Queue[];
      readonly exchange?: Exchange;
      readonly routingKey?: string;
      readonly delay?: number;
      readonly isKept?: boolean;
    },
  ): void {
    const producer = connection.producer<string>(options);
    this.#streams.push({
      name,
      ledger: new Ledger(),
      isKept,
      publish: (id) => producer.publish(`${name} ${id}`, { delay }),
    });
  }

  #deliver(payload: string): number {
    const [name, id] = payload.split(" ");
    const stream = this.#streams.find((each) => each.name === name);
    stream?.ledger.deliver(Number(id));
    return Number(id);
  }

  #run(
    what: string,
    connection: Connection,
    queues: readonly Queue[],
  ): void {
    const consumer = connection.consumer<string>(queues, { prefetch: 20 });
    this.#consumers.push(consumer);
    const seen = new Set<string>();
    consumer.run(({ payload }) => {
      const isFirst = !seen.has(payload);
      seen.add(payload);
      const id = Number(payload.split(" ")[1]);
      if (isFirst && id % 10 === 0) throw new Error("on purpose");
      this.#deliver(payload);
    }, { retry: { attempts: 10, backoff: 500 } }).then(
      () => this.#end(what, "it returned"),
      (error) => this.#end(what, error),
    );
  }

  async #iterate(
    what: string,
    connection: Connection,
    queue: Queue,
  ): Promise<void> {
    const consumer = connection.consumer<string>(queue, { prefetch: 20 });
    this.#consumers.push(consumer);
    try {
      for await (const message of consumer) {
        this.#deliver(message.payload);
        // It came by a connection that was lost: it comes again.
        await message.ack().catch(() => {});
      }
      this.#end(what, "it returned");
    } catch (error) {
      this.#end(what, error);
    }
  }

  /** Asks for a queue again and again: the answer may be an error, but of the library's. */
  async #look(what: string, connection: Connection, queue: string) {
    while (!this.#stopped) {
      try {
        const channel = await connection.channel();
        await channel.checkQueue(queue);
        await channel[Symbol.asyncDispose]();
      } catch (error) {
        if (!(error instanceof MessagingError)) this.#end(what, error);
      }
      await pause(200);
    }
  }

  #end(what: string, error: unknown): void {
    if (!this.#closing) this.ended.set(what, error);
  }

  #pump(stream: Stream): void {
    const pump = async () => {
      while (!this.#stopped) {
        // Several at once: the broker is to have some in hand when it goes.
        const sent = Array.from({ length: 4 }, () => this.#send(stream));
        await Promise.all(sent);
        await pause(PACE);
      }
    };
    this.#running.push(pump());
  }

  async #send({ ledger, name, publish }: Stream): Promise<void> {
    const id = this.#next++;
    ledger.send(id);
    try {
      await publish(id);
      ledger.confirm(id);
    } catch (error) {
      assert(error instanceof MessagingError, Deno.inspect(error));
      const why = `${name}: ${error.code}, ${error.message}`;
      this.refused.set(why, (this.refused.get(why) ?? 0) + 1);
    }
  }

  async #until(isSo: () => boolean, why: () => string): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (!isSo()) {
      assert(performance.now() < end, why());
      await pause(50);
    }
  }
}

function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}
