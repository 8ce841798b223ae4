import { SYSTEM_CLOCK } from "../async/clock.ts";
import { turn } from "../async/turn.ts";
import { TimeoutError } from "../model/errors.ts";
import type { StoodIn } from "../messaging/connection/stand_ins.ts";
import { findTransport } from "../transports/load.ts";
import type { Channel, TransportConnection } from "../transports/transport.ts";
import { parseUrl } from "../url/mod.ts";
import { type AdvanceOptions, realTime, type TestClock } from "./clock.ts";
import type { TestTransport } from "./transport.ts";

/** So many turns of the event loop without news are silence. */
const TURNS = 2;

/** How long a handler may be at work, or messages flow, while time stands still, in real time, ms. */
const PATIENCE = 5000;

/** So many turns are waited for before it looks once a millisecond. */
const BRISK = 100;

/** The parts of a test's broker. */
export interface ActivityHost {
  readonly url: string;
  readonly clock: TestClock;
  readonly transport: TestTransport;
  readonly connections: Set<StoodIn>;
}

/** Tells whether something happens at a test's broker. */
export class Activity {
  readonly #host: ActivityHost;
  /** The messages, and batches, whose handlers are at work. */
  readonly #atWork = new Set<object>();
  /** How many handlers have begun or ended. */
  #handlers = 0;
  #looking: Promise<[TransportConnection, Channel]> | undefined;
  #isLoading = true;

  /** Makes one that knows of nothing. */
  constructor(host: ActivityHost) {
    this.#host = host;
    // No clock must run while a module is loaded, which takes real time.
    Promise.allSettled([
      findTransport("memory").load(),
      import("../messaging/schedule/cron_client.ts"),
    ]).then(() => this.#isLoading = false);
  }

  /** Sees each call of a handler, for a message or a batch. */
  readonly during = (
    message: object,
    next: () => void | Promise<void>,
  ): void | Promise<void> => {
    const ended = () => {
      this.#handlers++;
      this.#atWork.delete(message);
    };
    this.#handlers++;
    this.#atWork.add(message);
    let running: void | Promise<void>;
    try {
      running = next();
    } catch (error) {
      ended();
      throw error;
    }
    if (running !== undefined) return running.finally(ended);
    ended();
  };

  /**
   * Lets what is under way happen, until nothing more does.
   *
   * @param options Whether handlers that are at work are waited for.
   * @throws {TimeoutError} If it goes on for 5 s.
   */
  async settle({ handlers = true }: AdvanceOptions): Promise<void> {
    const until = SYSTEM_CLOCK.now() + PATIENCE;
    let silence = 0;
    for (let turns = 0; silence < TURNS; turns++) {
      const before = this.#news;
      await (turns < BRISK ? turn() : realTime(1));
      const busy = this.#connecting ?? (handlers ? this.#handling : undefined);
      const isQuiet = busy === undefined && this.#news === before;
      silence = isQuiet ? silence + 1 : 0;
      if (isQuiet || SYSTEM_CLOCK.now() < until) continue;
      throw new TimeoutError(
        busy === undefined
          ? `Cannot let time pass: messages have come and gone for ${PATIENCE} ms without an end; is one put back at once, again and again?`
          : `Cannot let time pass: for ${PATIENCE} ms ${busy}; if that waits for the clock, use its "sleep", or { handlers: false }`,
      );
    }
  }

  /** Says in words what there is to do, once it is quiet; `undefined` if there is nothing. */
  async left(): Promise<string | undefined> {
    for (let silence = 0; silence < TURNS;) {
      const before = this.#news;
      await turn();
      const busy = this.#connecting ?? this.#handling;
      if (busy !== undefined) return busy;
      silence = this.#news === before ? silence + 1 : 0;
    }
    const queues = new Set<string>();
    for (const { consumers, inFlight } of this.#healths()) {
      if (inFlight > 0) {
        return `${count(inFlight, "publish is", "publishes are")} unanswered`;
      }
      for (const { queues: names, inFlight, ready } of consumers) {
        if (inFlight > 0) {
          return `the consumer of ${names.map(quoted).join(", ")} has ${
            count(inFlight, "message", "messages")
          } that it has not settled`;
        }
        if (ready) { for (const name of names) queues.add(name); }
      }
    }
    for (const name of queues) {
      const ready = await this.#readyIn(name);
      if (ready > 0) {
        return `${count(ready, "message is", "messages are")} ready in queue ${
          quoted(name)
        }`;
      }
    }
    return undefined;
  }

  /** Ends it. */
  async end(): Promise<void> {
    const looking = await this.#looking;
    await looking?.[0][Symbol.asyncDispose]();
  }

  /** A number that grows while something happens. */
  get #news(): number {
    return this.#host.transport.calls + this.#handlers;
  }

  get #connecting(): string | undefined {
    if (this.#isLoading) return "the library is being loaded";
    return this.#host.transport.connecting > 0
      ? "a connection is being opened"
      : undefined;
  }

  /** Handlers that wait for the clock, as far as that is known, are left out. */
  get #handling(): string | undefined {
    const { clock, transport } = this.#host;
    const busy = this.#atWork.size - clock.sleepers - transport.waiting;
    return busy > 0
      ? `${count(busy, "handler is", "handlers are")} at work`
      : undefined;
  }

  *#healths(): Iterable<ReturnType<StoodIn["health"]>> {
    const { connections } = this.#host;
    for (const each of [...connections]) {
      const health = each.health();
      if (health.state.type === "closed") connections.delete(each);
      else yield health;
    }
  }

  async #readyIn(queue: string): Promise<number> {
    const [, channel] = await (this.#looking ??= this.#look());
    try {
      return (await channel.checkQueue(queue)).messageCount ?? 0;
    } catch {
      return 0; // it is not there
    }
  }

  /** By a connection of its own, which meets no faults. */
  async #look(): Promise<[TransportConnection, Channel]> {
    const { url, clock } = this.#host;
    const transport = (await findTransport("memory").load()).createTransport();
    const connection = await transport.connect(parseUrl(url), {
      heartbeat: 0,
      transportOptions: {},
      operationTimeout: Infinity,
      owner: crypto.randomUUID(),
      clock,
    });
    return [connection, await connection.openChannel()];
  }
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

function quoted(name: string): string {
  return `"${name}"`;
}
