import { type Connection, NotFoundError, type QueueInfo } from "../../mod.ts";
import { adviceFor, lineOf } from "../advice.ts";
import { lettersIn } from "../dead_letters.ts";
import { isOfDelays, queuesToShow } from "../list.ts";
import { History, type Past } from "./history.ts";

/** So many times are kept: ten minutes, where a broker is looked at every other second. */
const TIMES = 300;
/** So many queues have a past: 12 kB of memory each. */
const MOST_QUEUES = 5000;
/** A rate is that of so many times. */
const SPAN = 5;
/** Which queues are those of dead letters is looked up after so many times, and for new queues at once. */
const LETTERS_EVERY = 15;
/** Brokers that hand out what they show: the others are looked at without being asked twice. */
const TAKING: readonly string[] = ["amqp", "amqp_client", "sqs", "beanstalk"];

/** How to reach a broker. */
export interface BrokerSettings {
  /** Its place among the brokers. */
  readonly id: number;
  /** Makes a connection, not connected. */
  open(): Connection;
  /** Tells the time, ms since 1970. */
  now(): number;
}

/** A queue, as the page shows it. */
export interface Row {
  readonly name: string;
  readonly ready?: number | undefined;
  readonly delayed?: number | undefined;
  readonly unacked?: number | undefined;
  readonly consumers?: number | undefined;
  /** Seconds. */
  readonly oldest?: number | undefined;
  readonly bytes?: number | undefined;
  /** How many have come in, of all time. */
  readonly published?: number | undefined;
  /** How many have left, of all time. */
  readonly consumed?: number | undefined;
  /** By how much its depth changes in a second. */
  readonly rate?: number | undefined;
  /** How many come in in a second, where the broker counts them. */
  readonly in?: number | undefined;
  /** How many leave it in a second. */
  readonly out?: number | undefined;
  /** The queues whose dead letters it has. */
  readonly letters?: readonly string[] | undefined;
}

/** A broker, as the page shows it. */
export interface BrokerState {
  readonly id: number;
  /** Its URL, without a password. */
  readonly name: string;
  readonly transport: string;
  readonly state: "connecting" | "up" | "down";
  /** Why it is down. */
  readonly error?: string | undefined;
  /** What to do about it. */
  readonly advice?: string | undefined;
  /** Whether messages are shown without being taken. */
  readonly shows: boolean;
  /** Whether it lists its queues: where it does not, they are opened by their names. */
  readonly lists: boolean;
}

/** What has changed since the last look at a broker. */
export interface Change {
  readonly broker: BrokerState;
  /** When it was looked at, ms since 1970. */
  readonly at: number;
  /** The queues that are new, or have changed. */
  readonly rows: readonly Row[];
  /** The queues that are gone. */
  readonly gone: readonly string[];
}

/** A broker that is looked at again and again. */
export class WatchedBroker {
  readonly #settings: BrokerSettings;
  readonly #history = new History(TIMES, MOST_QUEUES);
  #connection: Connection;
  #rows: ReadonlyMap<string, Row> = new Map();
  #letters: ReadonlyMap<string, readonly string[]> = new Map();
  #lettersAge = Infinity;
  /** The queues that were opened by their names. */
  readonly #opened = new Set<string>();
  #lists = true;
  #state: Pick<BrokerState, "state" | "error" | "advice"> = {
    state: "connecting",
  };

  /** Makes one that is not connected. */
  constructor(settings: BrokerSettings) {
    this.#settings = settings;
    this.#connection = settings.open();
  }

  /** The connection, for what is done to its queues. */
  get connection(): Connection {
    return this.#connection;
  }

  /** What it is, and how it is. */
  get state(): BrokerState {
    const { transport } = this.#connection.info();
    return {
      id: this.#settings.id,
      name: this.#connection.asUri(),
      transport,
      shows: !TAKING.includes(transport),
      lists: this.#lists,
      ...this.#state,
    };
  }

  /** Its queues, as they were seen last. */
  get rows(): Iterable<Row> {
    return this.#rows.values();
  }

  /** Tells a queue's past, or nothing where none is kept. */
  past(queue: string, most?: number): Past | undefined {
    return this.#history.of(queue, most);
  }

  /** Looks at it. It does not reject: where it does not answer, its state says why. */
  async look(): Promise<Change> {
    const before = this.#rows;
    try {
      const found = await this.#list();
      const at = this.#settings.now();
      this.#rows = this.#seen(found, at);
      this.#state = { state: "up" };
    } catch (error) {
      this.#history.addGap(this.#settings.now());
      this.#state = {
        state: "down",
        error: lineOf(error),
        advice: adviceFor(error),
      };
      await this.#reopen();
    }
    const rows = [...this.#rows.values()].filter((each) =>
      !isSame(each, before.get(each.name))
    );
    const gone = [...before.keys()].filter((name) => !this.#rows.has(name));
    return { broker: this.state, at: this.#settings.now(), rows, gone };
  }

  /**
   * Has a queue among those that are looked at, where the broker lists none.
   *
   * @param queue The queue.
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async open(queue: string): Promise<void> {
    await this.#connection.inspect().queue(queue);
    this.#opened.add(queue);
  }

  /** Closes its connection. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  async #list(): Promise<readonly QueueInfo[]> {
    const connection = this.#connection;
    await connection.connect();
    const inspector = connection.inspect();
    this.#lists = connection.capabilities.has("inspect");
    const queues: QueueInfo[] = [];
    if (this.#lists) {
      for await (const each of queuesToShow(connection)) queues.push(each);
    } else {for (const name of this.#opened) {
        const found = await inspector.queue(name).catch(ifGone);
        if (found === undefined) this.#opened.delete(name);
        else queues.push(found);
      }}
    const isNew = queues.some((each) =>
      !isOfDelays(each) && !this.#rows.has(each.name)
    );
    if (isNew || ++this.#lettersAge > LETTERS_EVERY) {
      const needsBindings = queues.some(({ declaration }) =>
        !!declaration?.arguments["x-dead-letter-exchange"]
      );
      const bindings = needsBindings && this.#lists
        ? await inspector.bindings()
        : [];
      this.#letters = lettersIn(queues, bindings);
      this.#lettersAge = 0;
    }
    return queues;
  }

  #seen(
    queues: readonly QueueInfo[],
    at: number,
  ): ReadonlyMap<string, Row> {
    this.#history.add(at, new Map(queues.map((each) => [each.name, each])));
    return new Map(queues.map((each) => {
      const { name, ready, delayed, unacked, consumers, bytes } = each;
      const rate = (what: "depth" | "published" | "consumed") => {
        const found = this.#history.rateOf(name, what, SPAN);
        // A broker that was restarted counts from 0.
        if (what !== "depth" && Number(found) < 0) return undefined;
        return found && Math.round(found * 10) / 10;
      };
      const row = {
        name,
        ready,
        delayed,
        unacked,
        consumers,
        oldest: each.oldestAge && Math.round(each.oldestAge),
        bytes,
        rate: rate("depth"),
        published: each.published,
        consumed: each.consumed,
        in: rate("published"),
        out: rate("consumed"),
        letters: this.#letters.get(name),
      };
      return [name, row];
    }));
  }

  /** It does not connect again by itself: an error would come late, and say less. */
  async #reopen(): Promise<void> {
    const lost = this.#connection;
    this.#connection = this.#settings.open();
    await lost.close({ drainTimeout: 1 }).catch(() => {});
  }
}

function ifGone(error: unknown): undefined {
  if (!(error instanceof NotFoundError)) throw error;
}

function isSame(a: Row, b: Row | undefined): boolean {
  return b !== undefined && a.ready === b.ready && a.delayed === b.delayed &&
    a.unacked === b.unacked && a.consumers === b.consumers &&
    a.oldest === b.oldest && a.bytes === b.bytes && a.rate === b.rate &&
    a.in === b.in && a.out === b.out && a.published === b.published &&
    a.consumed === b.consumed &&
    a.letters?.join() === b.letters?.join();
}
