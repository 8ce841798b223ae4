import { Ring } from "../../async/ring.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { BroadcastOptions, BroadcastResult } from "../store/store.ts";
import type { RedisClient } from "./client.ts";
import { type Core, versionArguments } from "./core.ts";
import { RedisReservation } from "./reservation.ts";
import { withExpiry } from "./stored.ts";

const STALE = { type: "stale" } as const;

/** So many messages wait for a queue's consumers; then the oldest go, as PUB/SUB has no way to hold them back. */
const MOST_WAITING = 10_000;

/**
 * Fanout by PUB/SUB: who consumes from a queue that is bound to a fanout exchange
 * listens for its messages, and holds them here. Who is away gets nothing.
 */
export class Fanout {
  readonly #core: Core;
  readonly #listener: RedisClient;
  readonly #writer = new EnvelopeWriter();
  readonly #onMessage: (queue: string) => void;
  /** By pattern, the queues whose consumers are here. */
  readonly #queues = new Map<string, Set<string>>();
  readonly #waiting = new Map<string, Ring<Uint8Array>>();

  /** `onMessage` is told of queues for which something arrived. */
  constructor(
    core: Core,
    listener: RedisClient,
    onMessage: (queue: string) => void,
  ) {
    this.#core = core;
    this.#listener = listener;
    this.#onMessage = onMessage;
  }

  /**
   * Listens for what the consumers of an owner are to have by the tables as they are, and
   * for nothing else.
   */
  async follow(owner: string, options?: CallOptions): Promise<void> {
    const { topology } = this.#core.mirror;
    const wanted = new Map<string, Set<string>>();
    const consumed = new Set<string>();
    for (const queue of topology.queuesOf(owner)) {
      const consumers = topology.queue(queue)?.consumers ?? [];
      if (!consumers.some((each) => each.owner === owner)) continue;
      consumed.add(queue);
      for (const { source } of topology.bindingsTo(queue)) {
        if (topology.exchange(source)?.declaration.type !== "fanout") continue;
        for (const pattern of this.#core.layout.patterns(source)) {
          const queues = wanted.get(pattern);
          if (queues === undefined) wanted.set(pattern, new Set([queue]));
          else queues.add(queue);
        }
      }
    }
    for (const queue of this.#waiting.keys()) {
      if (!consumed.has(queue)) this.#waiting.delete(queue);
    }
    const gone = [...this.#queues.keys()].filter((each) => !wanted.has(each));
    const fresh = [...wanted.keys()].filter((each) => !this.#queues.has(each));
    this.#queues.clear();
    for (const [pattern, queues] of wanted) this.#queues.set(pattern, queues);
    const tell = (action: string, command: string, patterns: string[]) =>
      patterns.length === 0
        ? undefined
        : this.#listener.send(action, [command, ...patterns], options);
    await Promise.all([
      tell("listen for messages", "PSUBSCRIBE", fresh),
      tell("listen for no more messages", "PUNSUBSCRIBE", gone),
    ]);
  }

  /** Publishes to all who listen. */
  async send(
    exchange: string,
    message: Publishing,
    options: BroadcastOptions = {},
  ): Promise<BroadcastResult> {
    const { layout, mirror, serverNow } = this.#core;
    const seen = versionArguments(mirror, options.version);
    if (seen === undefined) return STALE;
    const { expiration } = message.properties;
    const text = this.#writer.write(message, crypto.randomUUID());
    const action = `publish to exchange "${exchange}"`;
    const reply = await this.#core.run("broadcast", action, [
      ...seen,
      layout.channel(exchange, message.routingKey),
      expiration === undefined
        ? text
        : withExpiry(text, serverNow + expiration),
    ], options);
    return typeof reply === "number" ? undefined : STALE;
  }

  /** Takes in a message that was published. */
  arrive(pattern: string, bytes: Uint8Array): void {
    for (const queue of this.#queues.get(pattern) ?? []) {
      const waiting = this.#waitingFor(queue);
      if (waiting.size >= MOST_WAITING) waiting.shift();
      waiting.push(bytes);
      this.#onMessage(queue);
    }
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
          this.#core.serverNow,
        ),
      );
    }
    return taken;
  }

  /** Puts a message back in front of those that wait, if anybody still consumes. */
  restore(queue: string, bytes: Uint8Array): void {
    const isWanted = [...this.#queues.values()].some((each) => each.has(queue));
    if (!isWanted) return;
    this.#waitingFor(queue).unshift(bytes);
    this.#onMessage(queue);
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

  #waitingFor(queue: string): Ring<Uint8Array> {
    let waiting = this.#waiting.get(queue);
    if (waiting === undefined) {
      this.#waiting.set(queue, waiting = new Ring<Uint8Array>());
    }
    return waiting;
  }
}
