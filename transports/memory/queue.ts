import { Heap } from "../../async/heap.ts";
import { Ring } from "../../async/ring.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import type { Item } from "./kept.ts";
import { Lanes } from "./lanes.ts";
import { Level } from "./level.ts";

/** The messages of one queue: a level for each priority, or a lane for each key. */
export class MemoryQueue {
  readonly name: string;
  /** Whether what expires here goes somewhere. */
  readonly deadLetters: boolean;
  /** Milliseconds without use after which it goes. */
  readonly expires: number | undefined;
  /** Messages that have expired and are still to be dead-lettered. */
  readonly expired: Ring<Item> = new Ring<Item>();
  /** When it was last used, on the clock. */
  usedAt: number;
  /** Whether time alone may change something in it. */
  isTimed: boolean = false;
  /** When the broker will look at it by itself, on the clock. */
  wakeAt: number = Infinity;
  /** Whether it was deleted while some of its messages were out. */
  deleted = false;
  readonly #levels: Level[];
  /** Of an ordered queue, instead of levels. */
  readonly #lanes: Lanes | undefined;
  /** Not yet due, the first due first; of those due at once, the first put first. */
  readonly #delayed = new Heap<Item>((a, b) =>
    a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.sequence < b.sequence)
  );
  readonly #most: number;
  readonly #mostBytes: number;
  readonly #refuses: boolean;
  #size = 0;
  #bytes = 0;

  /** Makes an empty queue as it was declared. */
  constructor(name: string, declared: FieldTable, now: number) {
    this.name = name;
    this.usedAt = now;
    const traits = queueTraits(declared);
    this.deadLetters = traits.deadLetterExchange !== undefined;
    this.expires = traits.expires;
    this.#most = traits.maxLength ?? Infinity;
    this.#mostBytes = traits.maxBytes ?? Infinity;
    this.#refuses = traits.refuses;
    this.#lanes = traits.ordered ? new Lanes() : undefined;
    const levels = traits.ordered
      ? 0
      : Math.min(traits.maxPriority ?? 0, 255) + 1;
    this.#levels = Array.from({ length: levels }, () => new Level());
  }

  /** Whether the messages of a key are handed out one after another. */
  get isOrdered(): boolean {
    return this.#lanes !== undefined;
  }

  /** How many messages are ready. */
  get size(): number {
    return this.#size;
  }

  /** Whether it refuses another message, being full. */
  refuses(bytes: number): boolean {
    return this.#refuses &&
      (this.#size + 1 > this.#most || this.#bytes + bytes > this.#mostBytes);
  }

  /** Whether a length limit is exceeded: the head must go. */
  get overflows(): boolean {
    return this.#size > this.#most || this.#bytes > this.#mostBytes;
  }

  /** Adds a message at the end, or among the delayed. */
  push(item: Item, now: number): void {
    if (item.dueAt > now) this.#delayed.add(item);
    else this.#append(item);
  }

  /** Puts a message back to where it was; it was out, unless it had expired. */
  restore(item: Item, wasOut: boolean): void {
    this.#count(item, 1);
    if (this.#lanes === undefined) this.#level(item).restore(item);
    else this.#lanes.restore(item, wasOut);
  }

  /** Of an ordered queue: a message that was out is settled, and its key is free. */
  settled(item: Item): void {
    this.#lanes?.settled(item);
  }

  #append(item: Item): void {
    this.#count(item, 1);
    if (this.#lanes === undefined) this.#level(item).push(item);
    else this.#lanes.push(item);
  }

  /** How many messages are not yet due. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** How many bytes the bodies of the ready messages have. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The ready messages whose turn comes first, so many at most. */
  list(max: number): Item[] {
    if (this.#lanes !== undefined) return this.#lanes.list(max);
    const found: Item[] = [];
    for (let i = this.#levels.length - 1; i >= 0 && found.length < max; i--) {
      found.push(...this.#levels[i]?.list(max - found.length) ?? []);
    }
    return found;
  }

  /** Takes the message whose turn it is. */
  take(): Item | undefined {
    if (this.#size === 0) return undefined;
    if (this.#lanes !== undefined) {
      const item = this.#lanes.take();
      if (item !== undefined) this.#count(item, -1);
      return item;
    }
    for (let i = this.#levels.length - 1; i >= 0; i--) {
      const item = this.#levels[i]?.shift();
      if (item === undefined) continue;
      this.#count(item, -1);
      return item;
    }
    return undefined;
  }

  /** Takes a delayed message by its id, unless others of its key wait for it. */
  takeDelayed(messageId: string): Item | undefined {
    const found = this.#delayed.find(({ message, keepsKey }) =>
      message.properties.messageId === messageId && !keepsKey
    );
    if (found !== undefined) this.#delayed.keep((each) => each !== found);
    return found;
  }

  /** The messages that are not due, the first of them first; but for those that others of their key wait for. */
  listDelayed(): Item[] {
    return this.#delayed.sorted().filter(({ keepsKey }) => !keepsKey);
  }

  /** Takes one of them, if it is still there. */
  removeDelayed(item: Item): boolean {
    const before = this.#delayed.size;
    this.#delayed.keep((each) => each !== item);
    return this.#delayed.size < before;
  }

  /** Moves what is due to the ready ones, and what has expired out of them. */
  pass(now: number): void {
    for (
      let first = this.#delayed.first;
      first !== undefined && first.dueAt <= now;
      first = this.#delayed.first
    ) {
      this.#delayed.take();
      if (first.keepsKey) this.restore(first, true);
      else this.#append(first);
    }
    this.#lanes?.expire(now, this.#onExpired);
    for (const level of this.#levels) {
      for (let head = level.head; head !== undefined; head = level.head) {
        if (head.expiresAt > now) break;
        level.shift();
        this.#onExpired(head);
      }
    }
  }

  readonly #onExpired = (item: Item): void => {
    this.#count(item, -1);
    if (this.deadLetters) this.expired.push(item);
  };

  /** When `pass` will next find something that somebody waits for, on the clock. */
  nextAt(): number {
    let next = this.#delayed.first?.dueAt ?? Infinity;
    if (!this.deadLetters) return next;
    if (this.#lanes !== undefined) {
      return Math.min(next, this.#lanes.expiresAt);
    }
    for (const level of this.#levels) {
      next = Math.min(next, level.head?.expiresAt ?? Infinity);
    }
    return next;
  }

  /** Removes the ready messages; returns how many. */
  purge(): number {
    const size = this.#size;
    for (const level of this.#levels) level.clear();
    this.#lanes?.clear();
    this.#size = this.#bytes = 0;
    return size;
  }

  #level(item: Item): Level {
    const highest = this.#levels.length - 1;
    const priority = highest === 0
      ? 0
      : Math.min(item.message.properties.priority ?? 0, highest);
    const level = this.#levels[priority];
    if (level === undefined) {
      throw new RangeError(
        `Cannot put a message of priority ${priority}: it must be from 0 to 255`,
      );
    }
    return level;
  }

  #count(item: Item, sign: 1 | -1): void {
    this.#size += sign;
    this.#bytes += sign * item.message.size;
  }
}
