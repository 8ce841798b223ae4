import { Ring } from "../../async/ring.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { AccessRefusedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { BroadcastOptions, BroadcastResult } from "../store/store.ts";
import type { RedisClient } from "./client.ts";
import { type Core, versionArguments } from "./core.ts";
import { RedisReservation } from "./reservation.ts";
import { withExpiry } from "./stored.ts";

const STALE = { type: "stale" } as const;

/** So many messages wait for a queue's consumers; then the oldest go, as PUB/SUB has no way to hold them back. */
const MAX_WAITING = 10_000;

/** How channels are listened on: what one may not, the next may. */
type Manner = "patterns" | "prefix" | "channels";

/**
 * Fanout by PUB/SUB: who consumes from a queue that is bound to a fanout exchange
 * listens for its messages, and holds them here. Who is away gets nothing.
 *
 * A user whose channels are limited (`&app:*`) may listen on a pattern only if it is one of
 * these texts, letter by letter: then all under the prefix are listened on, and what is for
 * none of ours is passed over; and where that is refused too, each channel by its name.
 */
export class Fanout {
  readonly #core: Core;
  readonly #listener: RedisClient;
  readonly #writer = new EnvelopeWriter();
  readonly #onMessage: (queue: string) => void;
  /** By exchange, the queues whose consumers are here. */
  #exchanges = new Map<string, Set<string>>();
  /** By pattern, the same. */
  #patterns = new Map<string, Set<string>>();
  /** What the server has been told to send. */
  #heard = new Set<string>();
  #manner: Manner = "patterns";
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
    const { layout, mirror: { topology } } = this.#core;
    const exchanges = new Map<string, Set<string>>();
    const patterns = new Map<string, Set<string>>();
    const channels = new Set<string>();
    const consumed = new Set<string>();
    for (const queue of topology.queuesOf(owner)) {
      const consumers = topology.queue(queue)?.consumers ?? [];
      if (!consumers.some((each) => each.owner === owner)) continue;
      consumed.add(queue);
      for (const { source, routingKey } of topology.bindingsTo(queue)) {
        if (topology.exchange(source)?.declaration.type !== "fanout") continue;
        add(exchanges, source, queue);
        for (const each of layout.patterns(source)) add(patterns, each, queue);
        channels.add(layout.channel(source, ""));
        channels.add(layout.channel(source, routingKey));
      }
    }
    for (const queue of this.#waiting.keys()) {
      if (!consumed.has(queue)) this.#waiting.delete(queue);
    }
    this.#exchanges = exchanges;
    this.#patterns = patterns;
    const prefix = layout.prefixPattern;
    const ways = {
      patterns: [...patterns.keys()],
      prefix: prefix === undefined || channels.size === 0 ? [] : [prefix],
      channels: [...channels],
    };
    for (;;) {
      try {
        return await this.#hear(ways[this.#manner], options);
      } catch (error) {
        if (
          !(error instanceof AccessRefusedError) || this.#manner === "channels"
        ) throw error;
        this.#manner = this.#manner === "patterns" && prefix !== undefined
          ? "prefix"
          : "channels";
        this.#heard.clear();
      }
    }
  }

  /** Has the server send what comes on these channels or patterns, and no other. */
  async #hear(names: readonly string[], options?: CallOptions): Promise<void> {
    const before = this.#heard;
    this.#heard = new Set(names);
    const fresh = names.filter((each) => !before.has(each));
    const gone = [...before].filter((each) => !this.#heard.has(each));
    const p = this.#manner === "channels" ? "" : "P";
    const tell = (action: string, command: string, which: string[]) =>
      which.length === 0
        ? undefined
        : this.#listener.send(action, [command, ...which], options);
    await Promise.all([
      tell("listen for messages", `${p}SUBSCRIBE`, fresh),
      tell("listen for no more messages", `${p}UNSUBSCRIBE`, gone),
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
  arrive(
    channel: string,
    pattern: string | undefined,
    bytes: Uint8Array,
  ): void {
    if (this.#manner === "patterns") {
      this.#arriveAt(this.#patterns.get(pattern ?? ""), bytes);
      return;
    }
    for (const [exchange, queues] of this.#exchanges) {
      if (this.#core.layout.isChannelOf(exchange, channel)) {
        this.#arriveAt(queues, bytes);
      }
    }
  }

  #arriveAt(queues: ReadonlySet<string> | undefined, bytes: Uint8Array): void {
    for (const queue of queues ?? []) {
      const waiting = this.#waitingFor(queue);
      if (waiting.size >= MAX_WAITING) waiting.shift();
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
    const isWanted = [...this.#exchanges.values()]
      .some((each) => each.has(queue));
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

function add(
  to: Map<string, Set<string>>,
  name: string,
  queue: string,
): void {
  const queues = to.get(name);
  if (queues === undefined) to.set(name, new Set([queue]));
  else queues.add(queue);
}
