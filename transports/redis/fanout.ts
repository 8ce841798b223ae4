import { Ring } from "../../async/ring.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { QueueRecord } from "../../virtual/topology.ts";
import {
  type BroadcastOptions,
  type BroadcastResult,
  type BroadcastStore,
  STALE,
} from "../store/store.ts";
import { Adoption, isOurs, MAX_WAITING } from "./listening/adoption.ts";
import type { Caller } from "./client.ts";
import { type Context, versionArguments } from "./context.ts";
import { Listening } from "./listening/listening.ts";
import type { News } from "./news.ts";
import type { RedisOptions } from "./options.ts";
import { RedisReservation } from "./reservation.ts";
import { hasPutNote, readStored, withExpiry, withPutNote } from "./stored.ts";
import type { Tables } from "./tables.ts";
import type { ConnectOptions } from "../transport.ts";
import type { TransportEvent } from "../transport_event.ts";

/**
 * Fanout exchanges, which Kombu has by PUB/SUB alone: an absent consumer gets nothing, and each
 * process that consumes a queue gets all.
 *
 * By default (`queue`) a message is put into every bound queue of ours, and announced in the same
 * step on Kombu's channel, for consumers that are not ours. Ours know by a note in it that they
 * have it already; so do those of 0.1.0, in whose eyes it has expired. A message without the note
 * was published by Kombu, or by one of 0.1.0: {@linkcode Adoption} puts it into our queues. A queue
 * that only Kombu's have bound gets nothing into its list, for nobody would read it.
 *
 * With `pubsub` it is as Kombu has it: a consumer of a bound queue listens, and the
 * messages are held here.
 */
export class Fanout implements BroadcastStore {
  /** There unless fanout is by PUB/SUB alone. */
  readonly putsInto?: (queue: QueueRecord) => boolean;
  readonly #context: Context;
  readonly #news: News;
  readonly #onEvent: (event: TransportEvent) => void;
  readonly #listening: Listening;
  readonly #adoption: Adoption | undefined;
  readonly #writer = new EnvelopeWriter();
  readonly #waiting = new Map<string, Ring<Uint8Array>>();

  /** Makes one that hears nothing. */
  constructor(
    context: Context,
    news: News,
    tables: Tables,
    listener: Caller,
    mode: RedisOptions["fanout"],
    { operationTimeout, onEvent }: ConnectOptions,
  ) {
    this.#context = context;
    this.#news = news;
    this.#onEvent = (event) => onEvent?.(event);
    const adoption = mode === "queue"
      ? new Adoption(
        context,
        news,
        tables,
        operationTimeout,
        this.#tellGone.bind(this),
      )
      : undefined;
    this.#adoption = adoption;
    if (adoption !== undefined) this.putsInto = isOurs;
    this.#listening = new Listening(context, listener, {
      mustHear: adoption === undefined,
      onMessage: (exchange, bytes) => {
        if (hasPutNote(bytes)) return;
        if (adoption === undefined) return this.#keep(exchange, bytes);
        const gone = adoption.add(exchange, bytes);
        if (gone === undefined) return;
        const queues = this.#listening.exchanges.get(gone.exchange) ?? [];
        for (const queue of queues) this.#tellDropped(queue, gone.bytes);
      },
    });
  }

  /** Listens for what the consumers of an owner are to have by the tables as they are. */
  async follow(owner: string, options?: CallOptions): Promise<void> {
    // Ours have it in their queues, and nobody else publishes in a cluster.
    const { isSharded } = this.#context;
    if (isSharded && this.#adoption !== undefined) return;
    const consumed = await this.#listening.follow(owner, options);
    if (consumed === undefined) return;
    for (const queue of this.#waiting.keys()) {
      if (!consumed.has(queue)) this.#waiting.delete(queue);
    }
  }

  /** Publishes to all listeners, and to no queue. */
  async send(
    exchange: string,
    message: Publishing,
    options: BroadcastOptions = {},
  ): Promise<BroadcastResult> {
    const { layout, mirror } = this.#context;
    const seen = versionArguments(mirror, options.version);
    if (seen === undefined) return STALE;
    const action = `publish to exchange "${exchange}"`;
    const reply = await this.#context.run("broadcast", action, [
      ...seen,
      layout.channel(exchange, message.routingKey),
      this.#write(message),
      this.#adoption === undefined ? 1 : 0,
    ], options);
    return typeof reply === "number"
      ? { type: "sent", receivers: reply }
      : STALE;
  }

  #write(message: Publishing): string {
    const text = this.#writer.write(message, crypto.randomUUID());
    if (this.#adoption !== undefined) return withPutNote(text);
    const { expiration } = message.properties;
    return expiration === undefined
      ? text
      : withExpiry(text, this.#context.serverNow + expiration);
  }

  /** Takes in a message that was published. */
  arrive(
    channel: string,
    pattern: string | undefined,
    bytes: Uint8Array,
  ): void {
    this.#listening.arrive(channel, pattern, bytes);
  }

  #keep(exchange: string, bytes: Uint8Array): void {
    for (const queue of this.#listening.exchanges.get(exchange) ?? []) {
      const waiting = this.#waitingFor(queue);
      const gone = waiting.size >= MAX_WAITING ? waiting.shift() : undefined;
      if (gone !== undefined) this.#tellDropped(queue, gone);
      waiting.push(bytes);
      this.#news.wake(queue);
    }
  }

  /** PUB/SUB does not wait: beyond a maximum the oldest messages are dropped, and an event says so. */
  #tellDropped(queue: string, bytes: Uint8Array): void {
    const { message } = readStored(bytes);
    const messageId = "error" in message
      ? undefined
      : message.properties.messageId;
    const error = new Error(
      `A message that was published by PUB/SUB to queue "${queue}" is dropped: ${MAX_WAITING} wait in this process already`,
    );
    this.#onEvent({ type: "dropped", queue, messageId, error });
  }

  #tellGone(queue: string, count: number): void {
    const error = new Error(
      `${count} messages that were published by PUB/SUB to queue "${queue}" are dropped: their listener is dead, and too many came before that was known`,
    );
    this.#onEvent({ type: "dropped", queue, messageId: undefined, error });
  }

  /** Takes up to `limit` messages for a queue. */
  take(queue: string, limit: number): RedisReservation[] {
    const waiting = this.#waiting.get(queue);
    const taken: RedisReservation[] = [];
    while (waiting !== undefined && taken.length < limit) {
      const next = waiting.shift();
      if (next === undefined) break;
      taken.push(
        new RedisReservation(
          { queue, where: { type: "here" }, bytes: next, declared: true },
          this.#context.serverNow,
        ),
      );
    }
    return taken;
  }

  /** Puts a message back in front of those that wait, if anybody still consumes. */
  restore(queue: string, bytes: Uint8Array): void {
    const isWanted = [...this.#listening.exchanges.values()]
      .some((each) => each.has(queue));
    if (!isWanted) return;
    this.#waitingFor(queue).unshift(bytes);
    this.#news.wake(queue);
  }

  /** How many messages wait for a queue's consumers. */
  count(queue: string): number {
    return this.#waiting.get(queue)?.size ?? 0;
  }

  /** Forgets what waits for a queue; returns how many. */
  purge(queue: string): number {
    const count = this.count(queue);
    this.#waiting.delete(queue);
    return count;
  }

  /** Resolves when all that came is in its queues. */
  async idle(): Promise<void> {
    await this.#adoption?.idle();
  }

  /** Ends with its connection. */
  close(): void {
    this.#adoption?.close();
  }

  #waitingFor(queue: string): Ring<Uint8Array> {
    let waiting = this.#waiting.get(queue);
    if (waiting === undefined) {
      this.#waiting.set(queue, waiting = new Ring<Uint8Array>());
    }
    return waiting;
  }
}
