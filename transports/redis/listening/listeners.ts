import type { Clock } from "../../../async/clock.ts";
import { Ring } from "../../../async/ring.ts";
import type { Context } from "../context.ts";
import { decode, listOf } from "../reply.ts";

/** How often it is looked who lives, while that matters, ms. */
const LOOK_EVERY = 2000;

/** So much is remembered, in messages and in bytes; then the oldest go. */
const MAX_COUNT = 10_000;
const MAX_BYTES = 64 * 2 ** 20;

/** The services that {@linkcode Listeners} uses to learn which owners are alive. None of these may throw, but `readLives`. */
export interface ListenersHost<T> {
  /** The server's time, ms. */
  now(): number;
  /** Says until when owners count as alive; of those that are gone it says nothing. */
  readLives(owners: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Nobody who listened for these can have got them. */
  onDead(queue: string, messages: readonly T[]): void;
  /** So many of those were forgotten, for there were too many. */
  onForgotten(queue: string, count: number): void;
}

/** The messages that came between two looks, while the same owners listened for the same queue. */
interface Group<T> {
  readonly queue: string;
  readonly owners: readonly string[];
  readonly messages: Ring<T>;
  /** Until when each counted as alive at the first look behind its messages. */
  first: ReadonlyMap<string, number> | undefined;
  forgotten: number;
}

/** The state of an owner since a message was published. */
type Fate = "alive" | "closed" | "dead" | "unknown";

/**
 * Remembers what came by PUB/SUB for queues whose consumers listen by themselves, as those of
 * 0.1.0 do, until it is known whether one of them lived then. One that says afterwards that
 * it lives has got the message, and so has one that was closed in order; one that is never
 * heard of again has perhaps not, and its message comes into the queue, marked as redelivered.
 */
export class Listeners<T extends { readonly bytes: Uint8Array }> {
  readonly #clock: Clock;
  readonly #host: ListenersHost<T>;
  /** Groups that a look has seen, then those that no look has seen yet. */
  #groups: Group<T>[] = [];
  /** By queue and owners, those that none has. */
  readonly #open = new Map<string, Group<T>>();
  /** Until when owners counted as alive at the last look. */
  #seen: ReadonlyMap<string, number> = new Map();
  #count = 0;
  #size = 0;
  #looking = false;
  #stopTimer: (() => void) | undefined;
  #over = false;

  /** Makes one that remembers nothing. */
  constructor(clock: Clock, host: ListenersHost<T>) {
    this.#clock = clock;
    this.#host = host;
  }

  /** Remembers a message for a queue, for which these owners listen. */
  add(queue: string, owners: readonly string[], message: T): void {
    if (this.#over) return;
    const name = JSON.stringify([queue, ...owners]);
    let group = this.#open.get(name);
    if (group === undefined) {
      const messages = new Ring<T>();
      group = { queue, owners, messages, first: undefined, forgotten: 0 };
      this.#open.set(name, group);
      this.#groups.push(group);
    }
    group.messages.push(message);
    this.#count++;
    this.#size += message.bytes.length;
    this.#bound();
    // One that is seen while it lives is known to have been closed when it is gone.
    const isKnown = owners.every((each) => this.#seen.has(each));
    if (!isKnown) void this.#look();
    else this.#lookLater();
  }

  /** Ends with its connection. */
  close(): void {
    this.#over = true;
    this.#stopTimer?.();
    this.#groups = [];
    this.#open.clear();
  }

  #bound(): void {
    for (const group of this.#groups) {
      while (this.#count > MAX_COUNT || this.#size > MAX_BYTES) {
        const oldest = group.messages.shift();
        if (oldest === undefined) break;
        this.#leave(oldest);
        group.forgotten++;
      }
    }
  }

  #leave({ bytes }: T): void {
    this.#count--;
    this.#size -= bytes.length;
  }

  #lookLater(): void {
    if (this.#over || this.#looking || this.#groups.length === 0) return;
    this.#stopTimer ??= this.#clock.timer(() => {
      this.#stopTimer = undefined;
      void this.#look();
    }, LOOK_EVERY);
  }

  /** Never rejects: the next look tries again. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    this.#open.clear();
    try {
      const owners = new Set(this.#groups.flatMap((each) => each.owners));
      const lives = await this.#host.readLives([...owners]);
      // Messages that came meanwhile are left to the next look.
      const open = new Set(this.#open.values());
      this.#groups = this.#groups.filter((group) => {
        if (open.has(group)) return true;
        group.first ??= lives;
        return !this.#isDecided(group, lives);
      });
      this.#seen = lives;
    } catch {
      // A later look is the first for these.
    }
    this.#looking = false;
    if (this.#over) return;
    const isNew = [...this.#open.values()]
      .some(({ owners }) => !owners.every((each) => this.#seen.has(each)));
    if (isNew) await this.#look();
    else this.#lookLater();
  }

  /** Whether nothing is to be waited for. */
  #isDecided(group: Group<T>, lives: ReadonlyMap<string, number>): boolean {
    const { queue, owners, messages, first, forgotten } = group;
    const fates = new Set(
      owners.map((each) => this.#fateOf(each, first, lives)),
    );
    if (fates.has("alive") || fates.has("closed")) {
      for (const each of messages.clear()) this.#leave(each);
      return true;
    }
    if (fates.has("unknown")) return false;
    const all = messages.clear();
    for (const each of all) this.#leave(each);
    if (forgotten > 0) this.#host.onForgotten(queue, forgotten);
    this.#host.onDead(queue, all);
    return true;
  }

  #fateOf(
    owner: string,
    first: ReadonlyMap<string, number> | undefined,
    lives: ReadonlyMap<string, number>,
  ): Fate {
    const now = this.#host.now();
    const until = lives.get(owner);
    const before = first?.get(owner);
    if (until === undefined) {
      // Nobody else forgets an owner before its time is over.
      const last = before ?? this.#seen.get(owner) ?? 0;
      return last > now ? "closed" : "dead";
    }
    if (before !== undefined && until > before) return "alive";
    return until <= now ? "dead" : "unknown";
  }
}

/**
 * Reads until when owners count as alive.
 *
 * @returns For each the moment, on the server's clock; nothing for those that are gone.
 */
export async function readLives(
  { commands, layout }: Context,
  owners: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const action = "look whether others live";
  const [scores, patient] = await Promise.all([
    commands.send(action, ["ZMSCORE", layout.owners, ...owners]),
    commands.send(action, ["HMGET", layout.patient, ...owners]),
  ]);
  const more = listOf(patient);
  const lives = new Map<string, number>();
  listOf(scores).forEach((score, i) => {
    const owner = owners[i];
    if (owner === undefined || score === null) return;
    const patience = Number.parseInt(decode(more[i] ?? null)) || 0;
    lives.set(owner, Number(decode(score)) + patience);
  });
  return lives;
}
