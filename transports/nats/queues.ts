import { PreconditionFailedError } from "../../model/errors.ts";
import type { Tables } from "../records/tables.ts";
import type { NatsContext } from "./context.ts";
import { CODES, isOf } from "./errors.ts";
import { namesOf, type QueueNames } from "./names.ts";
import type { Bucket } from "./records.ts";

/** How long a queue that is declared anew waits for the one before to be deleted, ms; then that one's connection has died. */
const PATIENCE = 5000;

/** In place of the mark of a stream that somebody else has made. */
const FOREIGN = "";

/** Nanoseconds of a millisecond. */
export const NANO = 1_000_000;

/** Which duplicates of one put a stream knows, ms: its own default. */
export const DUPLICATES = 120_000;

/** A queue, as it was found or made. */
export interface NatsQueue extends QueueNames {
  readonly name: string;
  /** Which queue of its name it is. */
  readonly mark: string;
  /** The durable consumer that all who take from it share. */
  readonly consumer: string;
}

/** Asks which messages of a queue connections hold. */
type HeldOf = (queue: string) => Promise<ReadonlySet<string>>;

/** What is in a queue. */
export interface QueueState {
  readonly ready: number;
  readonly unacked: number;
  /** The last message that its consumer handed out. */
  readonly delivered: number;
  /** Those that are held, where some that were handed out are not. */
  readonly held: ReadonlySet<string> | undefined;
}

/** A stream that is there. */
interface Found {
  readonly config: Readonly<Record<string, unknown>>;
  /** Which queue of its name it was made for. */
  readonly mark: string;
  readonly consumer: string;
  /** Since when the declarations were there by which it was made. */
  readonly since: string;
}

/** What a consumer says of itself. */
interface ConsumerState {
  readonly pending: number;
  readonly unacked: number;
  readonly waiting: number;
  /** The last message that it handed out. */
  readonly delivered: number;
}

/** The queues: a stream of its own for each, with one durable consumer. */
export class Queues {
  readonly #context: NatsContext;
  readonly #tables: Tables;
  readonly #bucket: Pick<Bucket, "since">;
  readonly #held: HeldOf;
  readonly #names = new Map<string, QueueNames>();
  /** Those that are known to be there, by name. */
  readonly #open = new Map<string, Promise<NatsQueue | undefined>>();

  /** Makes them; nothing is asked yet. */
  constructor(
    context: NatsContext,
    tables: Tables,
    bucket: Pick<Bucket, "since">,
    held: HeldOf,
  ) {
    this.#context = context;
    this.#tables = tables;
    this.#bucket = bucket;
    this.#held = held;
  }

  /** The names of a queue. */
  names(queue: string): QueueNames {
    let names = this.#names.get(queue);
    if (names === undefined) {
      names = namesOf(this.#context.settings.prefix, queue);
      if (this.#names.size > 10_000) this.#names.clear();
      this.#names.set(queue, names);
    }
    return names;
  }

  /** Finds a queue that is declared, and makes what is missing of it; `undefined`: it is not declared. */
  async find(queue: string): Promise<NatsQueue | undefined> {
    const known = await this.#open.get(queue)?.catch(() => undefined);
    if (known !== undefined && known.mark === this.#declared(queue)) {
      return known;
    }
    await this.#tables.look();
    const mark = this.#declared(queue);
    if (mark === undefined) return undefined;
    const opening = this.#make(queue, mark);
    this.#open.set(queue, opening);
    opening.catch(() => this.forget(queue));
    return await opening;
  }

  /** The mark of a queue as it is declared, as far as is known. */
  #declared(queue: string): string | undefined {
    const tables = this.#tables;
    return tables.view.topology.queue(queue) === undefined
      ? undefined
      : markOf(tables.traits(queue).born);
  }

  /** Looks again at a queue, of which a part was not there. */
  forget(queue: string): void {
    this.#open.delete(queue);
  }

  async #make(queue: string, mark: string): Promise<NatsQueue | undefined> {
    const { client, settings: { replicas }, clock } = this.#context;
    const names = this.names(queue);
    const { stream, ready, delayed, quarantine } = names;
    const patience = clock.now() + PATIENCE;
    let consumer = mark;
    const isDeclared = async () => {
      await this.#tables.look();
      return this.#declared(queue) === mark;
    };
    for (;;) {
      try {
        await client.call(`STREAM.CREATE.${stream}`, {
          name: stream,
          subjects: [ready, `${delayed}.>`, quarantine],
          // No number is given twice: what is held of a stream that an operator deleted
          // is acked by its number, and would take a message of this one.
          first_seq: client.freshSequence(),
          retention: "workqueue",
          storage: "file",
          num_replicas: replicas,
          discard: "old",
          max_msgs: -1,
          max_bytes: -1,
          max_age: 0,
          max_msg_size: -1,
          max_msgs_per_subject: -1,
          max_consumers: -1,
          duplicate_window: DUPLICATES * NANO,
          allow_direct: true,
          allow_msg_ttl: true,
          ...client.delays ? { allow_msg_schedules: true } : {},
          metadata: this.#metadata(mark, consumer),
        });
        await this.#makeConsumer(names, consumer);
        break;
      } catch (error) {
        if (!isOf(error, CODES.streamInUse, CODES.streamNotFound)) throw error;
      }
      const found = await this.#find(stream);
      if (found?.mark === mark) {
        consumer = found.consumer;
        await this.#makeConsumer(names, consumer);
        break;
      }
      if (found?.mark === FOREIGN) {
        throw new PreconditionFailedError(
          `Cannot use queue "${queue}": stream "${stream}" is there, and was not made for it; delete it, or use another prefix in the URL`,
          { outcome: "not-sent" },
        );
      }
      if (!await isDeclared()) return undefined;
      if (found !== undefined && !this.#isOver(found, mark)) {
        await this.#adopt(stream, found, mark);
      } else if (found !== undefined && clock.now() > patience) {
        await this.#delete(stream);
      } else {
        await client.pause(50);
      }
    }
    if (await isDeclared()) return { ...names, name: queue, mark, consumer };
    // It was deleted meanwhile, and what was just made is in nobody's way.
    if ((await this.#find(stream))?.mark === mark) await this.#delete(stream);
    return undefined;
  }

  #metadata(mark: string, consumer: string): Readonly<Record<string, string>> {
    return { dashi: mark, consumer, since: this.#bucket.since };
  }

  /** Whether a stream is of an earlier queue of the name, which is being deleted, or whose deletion was cut short. */
  #isOver({ mark, since }: Found, declared: string): boolean {
    return since === this.#bucket.since && bornOf(mark) < bornOf(declared);
  }

  /** What was declared was lost, and is declared again: the messages are there still. */
  async #adopt(stream: string, found: Found, mark: string): Promise<void> {
    const metadata = this.#metadata(mark, found.consumer);
    const body = { ...found.config, metadata };
    await this.#context.client.call(`STREAM.UPDATE.${stream}`, body);
  }

  /** One that is there keeps the longer of two waits for an ack. */
  async #makeConsumer(
    { stream, ready }: QueueNames,
    consumer: string,
  ): Promise<void> {
    const { client, settings: { lease } } = this.#context;
    const config = {
      durable_name: consumer,
      ack_policy: "explicit",
      ack_wait: lease * NANO,
      deliver_policy: "all",
      replay_policy: "instant",
      filter_subject: ready,
      max_deliver: -1,
      max_ack_pending: -1,
      max_waiting: 10_000,
    };
    const subject = `CONSUMER.CREATE.${stream}.${consumer}.${ready}`;
    try {
      const body = { stream_name: stream, config, action: "create" };
      await client.call(subject, body);
    } catch (error) {
      if (!isOf(error, CODES.consumerExists, 10013)) throw error;
      const { config: found } = await client.call(
        `CONSUMER.INFO.${stream}.${consumer}`,
      );
      if (Number(Object(found).ack_wait) >= lease * NANO) return;
      const body = { stream_name: stream, config, action: "update" };
      await client.call(subject, body);
    }
  }

  /** Looks at a stream; `undefined`: there is none. */
  async #find(stream: string): Promise<Found | undefined> {
    const { client } = this.#context;
    try {
      const { config } = await client.call(`STREAM.INFO.${stream}`);
      const { dashi: mark = FOREIGN, consumer = mark, since = "" } = Object(
        Object(config).metadata,
      );
      return { config: Object(config), mark, consumer, since };
    } catch (error) {
      if (isOf(error, CODES.streamNotFound)) return undefined;
      throw error;
    }
  }

  async #delete(stream: string): Promise<void> {
    const { client } = this.#context;
    try {
      await client.call(`STREAM.DELETE.${stream}`);
    } catch (error) {
      if (!isOf(error, CODES.streamNotFound)) throw error;
    }
  }

  /** Deletes a queue of a generation; returns how many messages were ready. */
  async delete(queue: string, born: number | undefined): Promise<number> {
    const { stream } = this.names(queue);
    const mark = markOf(born);
    this.forget(queue);
    const found = await this.#find(stream);
    if (found?.mark !== mark) return 0;
    const state = await this.look({
      ...this.names(queue),
      name: queue,
      mark,
      consumer: found.consumer,
    });
    await this.#delete(stream);
    return state?.ready ?? 0;
  }

  /** Counts the ready messages. */
  async count(queue: string): Promise<number> {
    const found = await this.find(queue);
    if (found === undefined) return 0;
    return (await this.look(found))?.ready ?? 0;
  }

  /**
   * Looks at what is in a queue; `undefined`: it is not there. JetStream counts a message
   * that was put back among the unacked until it is handed out again. That is at once where
   * somebody waits; else it is one that no connection holds.
   */
  async look(queue: NatsQueue): Promise<QueueState | undefined> {
    const state = await this.#state(queue);
    if (state === undefined) return undefined;
    const { pending, unacked, waiting, delivered } = state;
    const counted = { ready: pending, unacked, delivered, held: undefined };
    if (waiting > 0 || unacked === 0) return counted;
    const held = await this.#held(queue.name);
    const back = Math.max(0, unacked - held.size);
    return {
      ...counted,
      ready: pending + back,
      unacked: unacked - back,
      held: back > 0 ? held : undefined,
    };
  }

  /**
   * Asks a consumer for its state; `undefined`: it is not there. It hears of what is put a
   * moment later than the publisher, so what is there is counted by the stream.
   */
  async #state(
    { stream, consumer, ready }: NatsQueue,
  ): Promise<ConsumerState | undefined> {
    const { client } = this.#context;
    try {
      const [info, { state }] = await Promise.all([
        client.call(`CONSUMER.INFO.${stream}.${consumer}`),
        client.call(`STREAM.INFO.${stream}`, { subjects_filter: ready }),
      ]);
      const there = Number(Object(Object(state).subjects)[ready] ?? 0);
      const unacked = Number(info.num_ack_pending);
      return {
        pending: Math.max(0, there - unacked),
        unacked,
        waiting: Number(info.num_waiting),
        delivered: Number(Object(info.delivered).stream_seq),
      };
    } catch (error) {
      if (isOf(error, CODES.streamNotFound, CODES.consumerNotFound)) {
        return undefined;
      }
      throw error;
    }
  }
}

function markOf(born: number | undefined): string {
  return `dashi-${born ?? 0}`;
}

function bornOf(mark: string): number {
  return Number(mark.slice(mark.indexOf("-") + 1));
}
