import { Heap } from "../../async/heap.ts";
import { Ring } from "../../async/ring.ts";
import { keyOf } from "../../virtual/message_key.ts";
import type { Item } from "./kept.ts";
import { Level } from "./level.ts";

/** The messages of one key, of which one at most is out. */
interface Lane {
  readonly key: string | undefined;
  readonly line: Line | Level;
  /** Whether one of them is out, or waits for another attempt. */
  isOut: boolean;
  /** Whether it stands in the ring. */
  isWaiting: boolean;
  /** When its first message will be looked at, for it has expired then, on the clock. */
  looksAt: number;
}

/** A lane whose first message may have expired. */
interface Look {
  readonly at: number;
  readonly lane: Lane;
}

/** Messages in order: what comes back is the first again. */
class Line {
  readonly #items = new Ring<Item>();

  push(item: Item): void {
    this.#items.push(item);
  }

  restore(item: Item): void {
    this.#items.unshift(item);
  }

  get head(): Item | undefined {
    return this.#items.at(0);
  }

  shift(): Item | undefined {
    return this.#items.shift();
  }

  list(max: number): Item[] {
    const items: Item[] = [];
    for (let i = 0; i < Math.min(max, this.#items.size); i++) {
      const item = this.#items.at(i);
      if (item !== undefined) items.push(item);
    }
    return items;
  }
}

/**
 * The ready messages of an ordered queue: a lane for each key, and a ring of the lanes
 * that have something and of which nothing is out. Each turn takes one message; its lane
 * stands at the end of the ring again when that is settled. Messages without a key share a
 * lane, of which any number may be out.
 */
export class Lanes {
  #keyed = new Map<string, Lane>();
  #loose: Lane = laneOf(undefined);
  readonly #ring = new Ring<Lane>();
  /** The lanes whose first message will expire. */
  readonly #looks = new Heap<Look>((a, b) => a.at < b.at);

  /** The messages whose turn comes first, so many at most: those of keys of which one is out come last. */
  list(max: number): Item[] {
    const lanes = new Set<Lane>();
    for (let i = 0; i < Math.min(max, this.#ring.size); i++) {
      const lane = this.#ring.at(i);
      if (lane !== undefined) lanes.add(lane);
    }
    for (const lane of this.#keyed.values()) {
      if (lanes.size >= max) break;
      lanes.add(lane);
    }
    const lists = [...lanes].map(({ line }) => line.list(max));
    const found: Item[] = [];
    for (let turn = 0; turn < max; turn++) {
      for (const list of lists) {
        const item = list[turn];
        if (item !== undefined) found.push(item);
      }
    }
    return found.slice(0, max);
  }

  /** Adds a message, the last of its key. */
  push(item: Item): void {
    const lane = this.#laneOf(item);
    lane.line.push(item);
    this.#stand(lane);
  }

  /** Takes the message whose turn it is. */
  take(): Item | undefined {
    for (;;) {
      const lane = this.#ring.shift();
      if (lane === undefined) return undefined;
      lane.isWaiting = false;
      const item = lane.line.shift();
      if (item === undefined) {
        this.#forget(lane); // its messages have expired
        continue;
      }
      lane.isOut = lane.key !== undefined;
      this.#stand(lane);
      return item;
    }
  }

  /** A message that was out is settled: the next of its key may be taken. */
  settled(item: Item): void {
    const key = keyOf(item.message.properties.headers);
    const lane = key === undefined ? undefined : this.#keyed.get(key);
    if (lane === undefined) return;
    lane.isOut = false;
    if (lane.line.head === undefined) this.#forget(lane);
    else this.#stand(lane);
  }

  /** Puts a message back, which was out unless it had expired: it is the first of its key again. */
  restore(item: Item, wasOut: boolean): void {
    const lane = this.#laneOf(item);
    lane.line.restore(item);
    if (wasOut) lane.isOut = false;
    this.#stand(lane);
  }

  /** Takes out what has expired of the messages that are the first of their keys. */
  expire(now: number, onExpired: (item: Item) => void): void {
    for (
      let look = this.#looks.first;
      look !== undefined && look.at <= now;
      look = this.#looks.first
    ) {
      this.#looks.take();
      const { at, lane } = look;
      if (at !== lane.looksAt) continue; // another one stands for it
      lane.looksAt = Infinity;
      for (
        let head = lane.line.head;
        head !== undefined;
        head = lane.line.head
      ) {
        if (head.expiresAt > now) break;
        lane.line.shift();
        onExpired(head);
      }
      this.#look(lane);
    }
  }

  /** When `expire` will next find something, on the clock. */
  get expiresAt(): number {
    return this.#looks.first?.at ?? Infinity;
  }

  /** Forgets all that is ready. */
  clear(): void {
    this.#ring.clear();
    this.#looks.clear();
    this.#loose = laneOf(undefined);
    const before = this.#keyed;
    this.#keyed = new Map();
    for (const [key, { isOut }] of before) {
      if (isOut) this.#keyed.set(key, { ...laneOf(key), isOut });
    }
  }

  #laneOf(item: Item): Lane {
    const key = keyOf(item.message.properties.headers);
    if (key === undefined) return this.#loose;
    let lane = this.#keyed.get(key);
    if (lane === undefined) this.#keyed.set(key, lane = laneOf(key));
    return lane;
  }

  /** A lane that has something, and of which nothing is out, stands in the ring. */
  #stand(lane: Lane): void {
    this.#look(lane);
    if (lane.isOut || lane.isWaiting || lane.line.head === undefined) return;
    lane.isWaiting = true;
    this.#ring.push(lane);
  }

  #look(lane: Lane): void {
    const at = lane.line.head?.expiresAt ?? Infinity;
    if (at >= lane.looksAt) return;
    lane.looksAt = at;
    this.#looks.add({ at, lane });
    // Of lanes that are no more they are removed before they outnumber the others.
    if (this.#looks.size > 2 * this.#keyed.size + 64) {
      this.#looks.keep(isOfUse);
    }
  }

  #forget(lane: Lane): void {
    if (lane.key === undefined || lane.isOut) return;
    this.#keyed.delete(lane.key);
  }
}

function laneOf(key: string | undefined): Lane {
  return {
    key,
    line: key === undefined ? new Level() : new Line(),
    isOut: false,
    isWaiting: false,
    looksAt: Infinity,
  };
}

function isOfUse({ at, lane }: Look): boolean {
  if (lane.looksAt !== at) return false;
  if (lane.line.head !== undefined) return true;
  lane.looksAt = Infinity;
  return false;
}
