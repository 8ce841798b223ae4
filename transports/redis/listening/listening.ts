import type { CallOptions } from "../../../model/call_options.ts";
import { AccessRefusedError } from "../../../model/errors.ts";
import type { Topology } from "../../../virtual/topology.ts";
import type { Caller } from "../client.ts";
import type { Context } from "../context.ts";

/** How channels are listened on: what one may not, the next may. */
type Manner = "patterns" | "prefix" | "channels" | "none";

/**
 * Listens on the channels of the fanout exchanges that our consumers' queues are bound to.
 *
 * A user whose channels are limited (`&app:*`) may listen on a pattern only if it is one of
 * these texts, letter by letter: then all under the prefix are listened on, and what is for
 * none of ours is passed over; and where that is refused too, each channel by its name.
 */
export class Listening {
  readonly #context: Context;
  readonly #listener: Caller;
  readonly #mustHear: boolean;
  readonly #onMessage: (exchange: string, bytes: Uint8Array) => void;
  /** By exchange, the queues whose consumers are here. */
  #exchanges = new Map<string, Set<string>>();
  /** By pattern, its exchange. */
  #patterns = new Map<string, string>();
  /** The channels and patterns that the server was told to send. */
  #heard = new Set<string>();
  #manner: Manner = "patterns";
  /** The state that was followed last: the tables as they were, and how often they have changed around fanout exchanges. */
  #followed:
    | { readonly topology: Topology; readonly fanouts: number }
    | undefined;

  /** Makes one that hears nothing; `mustHear` says whether it is an error that the user may not. */
  constructor(context: Context, listener: Caller, settings: {
    readonly mustHear: boolean;
    onMessage(exchange: string, bytes: Uint8Array): void;
  }) {
    this.#context = context;
    this.#listener = listener;
    this.#mustHear = settings.mustHear;
    this.#onMessage = settings.onMessage;
  }

  /** By exchange, the queues whose consumers are here. */
  get exchanges(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#exchanges;
  }

  /**
   * Listens for what the consumers of an owner are to have by the tables as they are, and
   * for nothing else. Returns the queues that they consume, or `undefined` where nothing has
   * changed around fanout exchanges: of thousands of queues most have nothing to do with one.
   */
  async follow(
    owner: string,
    options?: CallOptions,
  ): Promise<ReadonlySet<string> | undefined> {
    const { layout, mirror: { topology, fanouts } } = this.#context;
    const followed = this.#followed;
    if (followed?.topology === topology && followed.fanouts === fanouts) {
      return undefined;
    }
    this.#followed = undefined;
    const exchanges = new Map<string, Set<string>>();
    const patterns = new Map<string, string>();
    const channels = new Set<string>();
    const consumed = new Set<string>();
    for (const queue of topology.queuesOf(owner)) {
      const consumers = topology.queue(queue)?.consumers ?? [];
      if (!consumers.some((each) => each.owner === owner)) continue;
      consumed.add(queue);
      for (const { source, routingKey } of topology.bindingsTo(queue)) {
        if (topology.exchange(source)?.declaration.type !== "fanout") continue;
        const queues = exchanges.get(source);
        if (queues === undefined) exchanges.set(source, new Set([queue]));
        else queues.add(queue);
        for (const each of layout.patterns(source)) patterns.set(each, source);
        channels.add(layout.channel(source, ""));
        channels.add(layout.channel(source, routingKey));
      }
    }
    this.#exchanges = exchanges;
    this.#patterns = patterns;
    const prefix = layout.prefixPattern;
    const ways = {
      patterns: [...patterns.keys()],
      prefix: prefix === undefined || channels.size === 0 ? [] : [prefix],
      channels: [...channels],
      none: [],
    };
    for (;;) {
      try {
        await this.#hear(ways[this.#manner], options);
        this.#followed = { topology, fanouts };
        return consumed;
      } catch (error) {
        if (!(error instanceof AccessRefusedError)) throw error;
        const next = this.#nextManner();
        if (next === undefined) throw error;
        this.#manner = next;
        this.#heard.clear();
      }
    }
  }

  #nextManner(): Manner | undefined {
    switch (this.#manner) {
      case "patterns":
        return this.#context.layout.prefixPattern === undefined
          ? "channels"
          : "prefix";
      case "prefix":
        return "channels";
      case "channels":
      case "none":
        return this.#mustHear ? undefined : "none";
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

  /** Takes in a message that was published. */
  arrive(
    channel: string,
    pattern: string | undefined,
    bytes: Uint8Array,
  ): void {
    if (this.#manner === "patterns") {
      const exchange = this.#patterns.get(pattern ?? "");
      if (exchange !== undefined) this.#onMessage(exchange, bytes);
      return;
    }
    for (const exchange of this.#exchanges.keys()) {
      if (this.#context.layout.isChannelOf(exchange, channel)) {
        this.#onMessage(exchange, bytes);
      }
    }
  }
}
