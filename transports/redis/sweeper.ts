import type { CallOptions } from "../../model/call_options.ts";
import { route } from "../../virtual/route.ts";
import { decode, type RedisArgument, type RedisReply } from "./reply.ts";
import type { Context } from "./context.ts";
import type { News } from "./news.ts";
import type { RedisOptions } from "./options.ts";
import { walk } from "./declared/scanning.ts";
import { releasePieces } from "./settlements.ts";
import { marked, readStored, readUnacked, type Unacked } from "./stored.ts";
import type { Tables } from "./tables.ts";

/**
 * How long a sweep claims the messages that it found, at the most and at the least, ms: then the
 * next one may try. It is as long as the visibility timeout, for who chose a short one does not
 * wait much longer where a sweep was cut short.
 */
const LONGEST_CLAIM = 30_000;
const SHORTEST_CLAIM = 1000;

/** So many are looked for before they are put in order and given back. */
const MAX = 10_000;

/** In so many places it is looked at once. */
const AT_ONCE = 200;

/** The unacked messages that are to be given back. */
interface Overdue {
  readonly field: string;
  readonly value: Uint8Array;
  /** Its claim: if it has another by now, it is somebody's. Empty where that does not matter. */
  readonly score: string;
}

/** Requeues messages that nobody settles any more: those of owners that are gone, and those that were taken too long ago. */
export class Sweeper {
  readonly #context: Context;
  readonly #news: News;
  readonly #tables: Tables;
  readonly #visibilityTimeout: number;
  readonly #claim: number;
  readonly #life: readonly RedisArgument[];

  /** Makes one for a connection; `news` hears of queues that get messages back, and `socket` is the number of one of ours, if the server tells it. */
  constructor(
    context: Context,
    news: News,
    tables: Tables,
    { visibilityTimeout, patience }: RedisOptions,
    socket: number | undefined,
  ) {
    this.#context = context;
    this.#news = news;
    this.#tables = tables;
    this.#visibilityTimeout = visibilityTimeout;
    this.#claim = Math.ceil(
      Math.min(Math.max(visibilityTimeout, SHORTEST_CLAIM), LONGEST_CLAIM),
    );
    this.#life = [Math.ceil(patience), socket ?? ""];
  }

  /**
   * Says that an owner lives.
   *
   * @returns Whether the owner was known, and those that are dead, who hold still what they held.
   */
  async beat(
    owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<{ readonly known: boolean; readonly dead: readonly string[] }> {
    const sentAt = this.#context.clock.now();
    const [now, known, late, patient] = await this.#context.runList(
      "beat",
      "say that a connection lives",
      [owner, Math.ceil(ttl), ...this.#life],
      options,
    );
    this.#context.setServerNow(now, sentAt);
    const dead = (Array.isArray(late) ? late : []).map(decode);
    const asked = Array.isArray(patient) ? patient : [];
    for (let i = 0; i < asked.length; i += 3) {
      const [name, socket, silence] = asked.slice(i, i + 3).map(decode);
      if (name === undefined || name === owner) continue;
      if (await this.#isGone(socket, Number(silence), options)) dead.push(name);
    }
    return { known: known === 1, dead };
  }

  /** Whether a socket is there no more: a busy process keeps its own, a killed one does not. */
  async #isGone(
    socket: string | undefined,
    silence: number,
    options?: CallOptions,
  ): Promise<boolean> {
    if (!socket) return false;
    const action = "look whether a connection is there";
    const list = ["CLIENT", "LIST", "ID", socket] as const;
    const reply = await this.#context.commands.ask(action, list, options);
    if (reply === undefined) return false;
    // A younger one is another's: numbers begin anew when a server does.
    const age = Number(/\bage=(\d+)/.exec(decode(reply))?.[1] ?? -1);
    return age < Math.floor(silence / 1000) - 1;
  }

  /** Forgets an owner. */
  async forget(
    owners: readonly string[],
    options?: CallOptions,
  ): Promise<void> {
    if (owners.length === 0) return;
    const { commands, layout } = this.#context;
    const forget = (command: string, key: string) =>
      commands.send("forget a connection", [command, key, ...owners], options);
    await Promise.all([
      forget("ZREM", layout.owners),
      forget("HDEL", layout.patient),
    ]);
  }

  /** Gives back what the connections of some owners hold, but for this one. */
  async reclaim(
    owners: readonly string[],
    options?: CallOptions,
  ): Promise<void> {
    if (owners.length === 0) return;
    const once = { ...options, isOnce: true };
    await this.#everywhere(
      (place) => this.#reclaimIn(place, owners, once),
      options,
    );
  }

  /** Many at once: in a cluster each queue has its own place, and one that fails keeps no other from it. */
  async #everywhere(
    act: (place: string) => Promise<void>,
    options?: CallOptions,
  ): Promise<void> {
    const all = [...await this.#places(options)];
    const failures: unknown[] = [];
    while (all.length > 0) {
      await Promise.all(
        all.splice(0, AT_ONCE).map((each) =>
          act(each).catch((error) => failures.push(error))
        ),
      );
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Where queues have slots of their own, others may have declared some that are not known here. */
  async #places(options?: CallOptions): Promise<Iterable<string>> {
    const { isSharded, owner } = this.#context;
    if (isSharded) {
      await this.#tables.read({ type: "owner", name: owner }, options);
    }
    return this.#context.places();
  }

  async #reclaimIn(
    place: string,
    owners: readonly string[],
    options?: CallOptions,
  ): Promise<void> {
    const { layout, commands, fields } = this.#context;
    const gone = new Set(owners);
    const pattern = owners.length === 1 ? `${owners[0]}.*` : "*.*.*";
    const theirs = new Map<string, Overdue>();
    const pages = walk((cursor) =>
      commands.send("look for unacked messages", [
        ...["HSCAN", layout.unackedOf(place), cursor] as const,
        ...["MATCH", pattern, "COUNT", 200],
      ], options)
    );
    for await (const [found] of pages) {
      for (const [field, value] of pairsOf(found)) {
        if (field.startsWith(fields)) continue;
        if (!gone.has(field.split(".", 1)[0] ?? "")) continue;
        theirs.set(field, { field, value, score: "" });
      }
    }
    await this.#restoreAll([...theirs.values()], options);
  }

  /** Requeues messages that were taken longer ago than the visibility timeout, by us or by Kombu. */
  async sweep(options?: CallOptions): Promise<void> {
    const once = { ...options, isOnce: true };
    await this.#everywhere(async (place) => {
      for (let count = MAX; count >= MAX;) {
        const overdue = await this.#overdue(place, once);
        count = overdue.length;
        await this.#restoreAll(overdue, once);
      }
    }, options);
  }

  async #overdue(
    place: string,
    options?: CallOptions,
  ): Promise<readonly Overdue[]> {
    const overdue: Overdue[] = [];
    for (let count = 1; count > 0 && overdue.length < MAX;) {
      const [claim, found] = await this.#context.runList(
        "overdue",
        "look for overdue messages",
        [Math.ceil(this.#visibilityTimeout), this.#claim],
        { ...options, queueOf: () => place },
      );
      const score = decode(claim);
      const pairs = pairsOf(found);
      count = pairs.length;
      for (const [field, value] of pairs) overdue.push({ field, value, score });
    }
    return overdue;
  }

  /** Each goes in front of those before it, so the last that was taken goes first. */
  async #restoreAll(
    found: readonly Overdue[],
    options?: CallOptions,
  ): Promise<void> {
    const all = lastFirst(found);
    for (const piece of releasePieces(all, ({ value }) => value.length)) {
      await this.#restore(piece, options);
    }
  }

  /** Puts messages back, but for those that were settled or renewed meanwhile. */
  async #restore(
    found: readonly Overdue[],
    options?: CallOptions,
  ): Promise<void> {
    const args: RedisArgument[] = [];
    const restored = new Set<string>();
    for (const { field, value, score } of found) {
      const copies = await this.#copies(field, value, options);
      // Nobody can read it: it stays where an operator finds it.
      if (copies === undefined) continue;
      args.push(field, score, copies.length);
      for (const { queue, suffix, text } of copies) {
        args.push(queue, suffix, text, lineageIn(field));
        restored.add(queue);
      }
    }
    await this.#context.run("release", "give back messages", args, options);
    for (const queue of restored) this.#news.ring(queue);
  }

  async #copies(
    field: string,
    value: Uint8Array,
    options?: CallOptions,
  ): Promise<
    | readonly {
      readonly queue: string;
      readonly suffix: string;
      readonly text: string | Uint8Array;
    }[]
    | undefined
  > {
    let unacked: Unacked;
    try {
      unacked = readUnacked(value);
    } catch {
      return undefined;
    }
    const { message } = readStored(unacked.bytes);
    const text = marked(unacked.bytes, message, field);
    const suffix = this.#context.layout.suffix(unacked.priority);
    const queues = await this.#queuesOf(unacked, options);
    return queues.map((queue) => ({ queue, suffix, text }));
  }

  /** Kombu notes the exchange and the key: its message goes to all that are bound there now. */
  async #queuesOf(
    { exchange, routingKey }: Unacked,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    if (exchange === "") return [routingKey];
    await this.#tables.read({ type: "exchange", name: exchange }, options);
    const { topology } = this.#context.mirror;
    // Kombu would delete it: to the queue of the key's name nothing is lost.
    if (topology.exchange(exchange) === undefined) return [routingKey];
    const { queues } = route(topology, {
      exchange,
      routingKey,
      properties: {},
    });
    return queues.size === 0 ? [routingKey] : [...queues];
  }
}

/** In the order in which they go back: connection by connection, each backwards. */
function lastFirst(found: readonly Overdue[]): Overdue[] {
  const byConnection = Map.groupBy(
    found.toReversed(),
    ({ field }) => field.slice(0, field.lastIndexOf(".")),
  );
  return [...byConnection.values()].flatMap((taken) =>
    taken.sort((a, b) => numberOf(b) - numberOf(a))
  );
}

/** Which queue of its name a message was taken of, by our fields: owner, connection, queue, number. */
function lineageIn(field: string): string {
  const parts = field.split(".");
  return parts.length === 4 ? `${parts[2]}.` : "";
}

/** Kombu's have no number: they stay in the order in which they were found. */
function numberOf({ field }: Overdue): number {
  return Number(field.slice(field.lastIndexOf(".") + 1)) || 0;
}

function pairsOf(reply: RedisReply | undefined): [string, Uint8Array][] {
  const pairs: [string, Uint8Array][] = [];
  if (!Array.isArray(reply)) return pairs;
  for (let i = 0; i < reply.length; i += 2) {
    const value = reply[i + 1];
    if (value instanceof Uint8Array) pairs.push([decode(reply[i]), value]);
  }
  return pairs;
}
