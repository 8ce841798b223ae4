/** The layout of a Redis database: Kombu's keys, byte for byte, and a few of our own. */

/** The options that decide in which keys a message is kept. */
export interface LayoutOptions {
  /** Stands before every key and channel; Kombu's `global_keyprefix`. */
  readonly prefix: string;
  /** Stands between a queue's name and a priority step, and between the fields of a binding. */
  readonly sep: string;
  /** The priorities that have a list of their own, ascending. */
  readonly steps: readonly number[];
  /** Whether the highest step is served first, or, as Kombu does it, the lowest. */
  readonly highestFirst: boolean;
  /** The hash of what was taken and not settled. */
  readonly unackedKey: string;
  /** When it was taken. */
  readonly unackedIndexKey: string;
  /** The number of the database: a part of fanout channels. */
  readonly database: number;
  /** `true` is `/{db}.`, `false` nothing. */
  readonly fanoutPrefix: boolean | string;
  /** Whether the routing key is a part of fanout channels. */
  readonly fanoutPatterns: boolean;
  /** Whether each queue has a slot of its own, as in a cluster. */
  readonly sharded?: boolean;
}

/** One member of Kombu's set of an exchange's bindings. */
export interface Member {
  readonly routingKey: string;
  /** Kombu's regular expression of a topic binding; empty for others. */
  readonly pattern: string;
  readonly queue: string;
}

/** Which state of the shared hash was seen. */
export interface Versions {
  /** Of all that is declared. */
  readonly version: string;
  /** Of the routes alone. */
  readonly routes: string;
}

/** The prefixes of keys that are no queues, behind the global prefix. */
const RESERVED = [
  "_kombu.binding.",
  "_kombu.binding_permanent.",
  "dashi.bound.",
  "dashi.claimed.",
  "dashi.dedupe.",
  "dashi.delayed.",
  "dashi.malformed.",
  "dashi.ordered.",
  "dashi.pieces.",
  "dashi.rate.",
];

/**
 * The version of the layout of our own keys, which the hash of what is declared carries;
 * without one it is the first, as 0.1.0 wrote it. A later layout has another number here,
 * keeps what is declared under another key, and puts a text under this one: then 0.1.0
 * refuses it, too.
 */
export const LAYOUT_VERSION = 1;

/** The hash tag of what is no queue's: no queue has this name. */
const SHARED_TAG = "{dashi.topology}";

/**
 * The names of keys and channels. In a cluster each queue has all that a database has, in the
 * slot of its name: the list of `orders` is `{orders}orders`, what is unacked of it in
 * `{orders}unacked`. The tables and owners have one more slot.
 */
export class Layout {
  readonly options: LayoutOptions;
  /** Stands before the keys that are no queue's. */
  readonly shared: string;
  /** The suffixes of a queue's lists, behind its name, in the order in which lists are served. */
  readonly suffixes: readonly string[];
  /** The suffix of each priority from 0 to 9. */
  readonly #byPriority: readonly string[];
  /** The steps of those. */
  readonly steps: readonly number[];
  readonly unacked: string;
  readonly unackedIndex: string;
  /** A hash: what is declared, and a counter of its changes. */
  readonly topology: string;
  /** A list of the fields that each change touched, the newest first. */
  readonly changes: string;
  /** A sorted set: queues in which time alone changes something, by when it does. */
  readonly due: string;
  /** A sorted set: queues that go unless they are used, by when they do. */
  readonly expiring: string;
  /** A sorted set of Kombu's: exchanges whose bindings go unless they are refreshed, by when they do. */
  readonly deadlines: string;
  /** A sorted set: the owners of connections, by when they count as dead. */
  readonly owners: string;
  /** A hash: owners that are waited for while their socket is there, for how long, and its number. */
  readonly patient: string;
  /** A hash: how the server's clock is corrected, if it was set. */
  readonly time: string;
  /** A hash: of queues with a limit in bytes, how many messages are ready and what they amount to. */
  readonly sizes: string;

  /** Works out the names. */
  constructor(options: LayoutOptions) {
    this.options = options;
    const { steps, highestFirst } = options;
    const prefix = this.shared = options.sharded
      ? options.prefix + SHARED_TAG
      : options.prefix;
    this.steps = highestFirst ? [...steps].reverse() : steps;
    this.suffixes = this.steps.map((step) => this.#suffix(step));
    this.#byPriority = Array.from({ length: 10 }, (_, priority) => {
      const step = steps.findLast((each) => each <= priority);
      // Kombu takes the last step for what is below the first.
      return this.#suffix(step ?? steps.at(-1) ?? 0);
    });
    this.unacked = prefix + options.unackedKey;
    this.unackedIndex = prefix + options.unackedIndexKey;
    this.topology = `${prefix}dashi.topology`;
    this.changes = `${prefix}dashi.topology.changes`;
    this.due = `${prefix}dashi.due`;
    this.expiring = `${prefix}dashi.expiring`;
    this.deadlines = `${prefix}_kombu.binding_deadlines`;
    this.owners = `${prefix}dashi.owners`;
    this.patient = `${prefix}dashi.owners.patient`;
    this.time = `${prefix}dashi.time`;
    this.sizes = `${prefix}dashi.sizes`;
  }

  /** What stands before all keys of a queue; without one, before those of all. */
  place(queue: string): string {
    const { prefix, sharded } = this.options;
    if (!sharded) return prefix;
    return queue === "" ? this.shared : `${prefix}{${queue}}`;
  }

  /** The key of a queue's list, without the suffix. */
  key(queue: string): string {
    return this.place(queue) + queue;
  }

  /** What was taken of a queue and not settled. */
  unackedOf(queue: string): string {
    return this.place(queue) + this.options.unackedKey;
  }

  /** When time alone changes something in a queue. */
  dueOf(queue: string): string {
    return `${this.place(queue)}dashi.due`;
  }

  /** The queue of a slot of its own in which a key says when time changes something. */
  dueIn(key: string): string | undefined {
    const [before, after] = [`${this.options.prefix}{`, "}dashi.due"];
    return key.startsWith(before) && key.endsWith(after)
      ? key.slice(before.length, -after.length)
      : undefined;
  }

  /** The lists of a queue, in the order in which they are served. */
  lists(queue: string): string[] {
    const key = this.key(queue);
    return this.suffixes.map((suffix) => key + suffix);
  }

  /** The queue that a list is of, if it is one. */
  queueOf(key: string): string | undefined {
    const { prefix, sharded } = this.options;
    if (!key.startsWith(prefix)) return undefined;
    if (sharded) return this.#queueInSlot(key.slice(prefix.length + 1));
    const ring = this.ordered("ring");
    if (key.startsWith(ring)) return key.slice(ring.length);
    const name = key.slice(prefix.length);
    const suffix = this.suffixes.find((each) =>
      each !== "" && name.endsWith(each)
    );
    return suffix === undefined ? name : name.slice(0, -suffix.length);
  }

  /** Each key has the queue's name twice, with something between. */
  #queueInSlot(rest: string): string | undefined {
    const ends = [...this.suffixes].sort((a, b) => b.length - a.length);
    for (const between of ["}dashi.ordered.ring.", "}"]) {
      for (const suffix of between === "}" ? ends : [""]) {
        const size = (rest.length - between.length - suffix.length) / 2;
        if (!Number.isInteger(size) || size <= 0) continue;
        const queue = rest.slice(0, size);
        if (rest === queue + between + queue + suffix) return queue;
      }
    }
    return undefined;
  }

  /** The list of a queue for a priority. */
  list(queue: string, priority: number | undefined): string {
    return this.key(queue) + this.suffix(priority);
  }

  /** Returns the suffix, behind the queue's name, of the list for a priority. */
  suffix(priority: number | undefined): string {
    const wanted = Math.min(Math.max(Math.trunc(priority ?? 0), 0), 9);
    return this.#byPriority[wanted] ?? "";
  }

  /** The set of an exchange's bindings. */
  bindings(exchange: string): string {
    return `${this.shared}_kombu.binding.${exchange}`;
  }

  /** The set that keeps Celery 5.7's sweep away from an exchange's bindings. */
  permanentBindings(exchange: string): string {
    return `${this.shared}_kombu.binding_permanent.${exchange}`;
  }

  /** The key of the bindings that ours have made to an exchange, in case the set that Kombu reads is evicted. */
  bound(exchange: string): string {
    return `${this.shared}dashi.bound.${exchange}`;
  }

  /** Messages of a queue that are not yet due. */
  delayed(queue: string): string {
    return `${this.place(queue)}dashi.delayed.${queue}`;
  }

  /** Whether a message that came by PUB/SUB was put into a queue of ours already, by the name of both. */
  claimed(claim: string): string {
    return `${this.shared}dashi.claimed.${claim}`;
  }

  /** The mark of a message that is published once to a queue, by its name. */
  mark(key: string, queue: string): string {
    return `${this.place(queue)}dashi.dedupe.${key}`;
  }

  /** Whether the first piece of a message that goes to many queues was put, by the name of the pieces. */
  pieces(name: string): string {
    return `${this.shared}dashi.pieces.${name}`;
  }

  /** The key of a queue's entries that are no messages. */
  malformed(queue: string): string {
    return `${this.place(queue)}dashi.malformed.${queue}`;
  }

  /** A list, the newest first: when handlers began with messages of a queue and a key, µs. */
  rate(queue: string, key: string): string {
    return `${this.place(queue)}dashi.rate.${queue.length}.${queue}.${key}`;
  }

  /** A part of an ordered queue; without a queue, what the names of all of them begin with. */
  ordered(part = "", queue = ""): string {
    if (part === "") return `${this.shared}dashi.ordered.`;
    return `${this.place(queue)}dashi.ordered.${part}.${queue}`;
  }

  /** The keys of a queue in which there is something, or may be, if one of them is there. */
  places(queue: string, isOrdered: boolean): string[] {
    const lists = this.lists(queue);
    return isOrdered ? [this.ordered("ring", queue), ...lists] : lists;
  }

  /** Writes a member of a set of bindings. */
  formatMember({ routingKey, pattern, queue }: Member): string {
    return [routingKey, pattern, queue].join(this.options.sep);
  }

  /** Whether a member says what is written, where its parts contain the separator. */
  fits(member: Member): boolean {
    const { routingKey, pattern, queue } =
      this.parseMember(this.formatMember(member)) ?? {};
    return routingKey === member.routingKey && pattern === member.pattern &&
      queue === member.queue;
  }

  /** Whether a queue of this name would be one of the keys that are none, or another queue's list. */
  isReserved(queue: string): boolean {
    const key = this.shared + queue;
    const { unacked, unackedIndex, topology, changes } = this;
    return [unacked, unackedIndex, topology, changes].includes(key) ||
      [this.due, this.expiring, this.owners, this.sizes, this.time].includes(
        key,
      ) ||
      !this.hasSlot(queue) ||
      queue === "unacked_mutex" || key === this.deadlines ||
      RESERVED.some((each) => queue.startsWith(each)) ||
      this.suffixes.some((each) => each !== "" && queue.endsWith(each));
  }

  /** Whether all keys of a queue of this name are in one slot: it may not end its hash tag before that has begun. */
  hasSlot(queue: string): boolean {
    return this.options.sharded !== true || !queue.startsWith("}");
  }

  /** Reads a member of a set of bindings, or returns `undefined` if it is none. */
  parseMember(text: string): Member | undefined {
    const [routingKey, pattern, ...queue] = text.split(this.options.sep);
    if (
      routingKey === undefined || pattern === undefined || queue.length === 0
    ) return undefined;
    return { routingKey, pattern, queue: queue.join(this.options.sep) };
  }

  /** The channel that a fanout exchange's message is published on. */
  channel(exchange: string, routingKey: string): string {
    const base = this.#channelBase(exchange);
    return this.options.fanoutPatterns && routingKey !== ""
      ? `${base}/${routingKey}`
      : base;
  }

  /**
   * The patterns to listen on for all messages of a fanout exchange: AMQP's have no
   * regard for the key, so both with and without one.
   */
  patterns(exchange: string): readonly string[] {
    const base = escapePattern(this.#channelBase(exchange));
    return this.options.fanoutPatterns ? [base, `${base}/*`] : [base];
  }

  /** The pattern of all channels that begin with the prefix, if there is one. */
  get prefixPattern(): string | undefined {
    const { prefix } = this.options;
    return prefix === "" ? undefined : `${escapePattern(prefix)}*`;
  }

  /** Whether what is published on a channel is for a fanout exchange. */
  isChannelOf(exchange: string, channel: string): boolean {
    const base = this.#channelBase(exchange);
    return channel === base ||
      (this.options.fanoutPatterns && channel.startsWith(`${base}/`));
  }

  #channelBase(exchange: string): string {
    const { prefix, fanoutPrefix, database } = this.options;
    const before = fanoutPrefix === true
      ? "/{db}."
      : fanoutPrefix === false
      ? ""
      : fanoutPrefix;
    return prefix + before.replaceAll("{db}", String(database)) + exchange;
  }

  #suffix(step: number): string {
    return step === 0 ? "" : `${this.options.sep}${step}`;
  }
}

/** Writes a text as a pattern that matches nothing else. */
export function escapePattern(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, "\\$&");
}
