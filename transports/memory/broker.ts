import type { Clock } from "../../async/clock.ts";
import { Heap } from "../../async/heap.ts";
import { planDeleteQueue } from "../../virtual/declare.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { Topology } from "../../virtual/topology.ts";
import { LocalTopology } from "../store/local_topology.ts";
import { Slab } from "../../model/slab.ts";
import type { Kept } from "./kept.ts";
import type { Item } from "./kept.ts";
import { MemoryQueue } from "./queue.ts";

/** Somebody who waits for messages of some queues. */
export interface Waiter {
  readonly queues: readonly string[];
  /** Called once: look again. */
  wake(): void;
}

/** When a message may be delivered, and how often it was. */
type Times = Pick<Item, "dueAt" | "expiresAt" | "deliveryCount">;

/** A queue that is looked at when a moment has come. */
interface Appointment {
  readonly at: number;
  readonly queue: MemoryQueue;
}

function isSooner(a: Appointment, b: Appointment): boolean {
  return a.at < b.at;
}

const ALWAYS: Times = { dueAt: 0, expiresAt: Infinity, deliveryCount: 0 };

/**
 * A broker in this process: the tables and the queues. Connections come and go;
 * it stays as long as the process.
 */
export class MemoryBroker {
  readonly tables: LocalTopology;
  /** Where the bodies are: nobody is handed a part of it. */
  readonly slab: Slab = new Slab();
  readonly #clock: Clock;
  readonly #queues = new Map<string, MemoryQueue>();
  /** Queues that go when nobody uses them, by the first moment at which each may. */
  readonly #expiring = new Heap<Appointment>(isSooner);
  /** Queues in which time alone brings something that somebody waits for, by when. */
  readonly #timed = new Heap<Appointment>(isSooner);
  /** Queues with expired messages that wait to be carried away. */
  readonly #withExpired = new Set<MemoryQueue>();
  readonly #waiting = new Map<string, Set<Waiter>>();
  /** What is in quarantine, by queue and number. */
  readonly #aside = new Map<string, Map<string, Item>>();
  #waiterCount = 0;
  #sequence = 0;
  #stopTimer: (() => void) | undefined;
  #timerAt = Infinity;

  /** Makes an empty broker; time is told by the clock of whoever connected first. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.tables = new LocalTopology({
      count: (name) => Promise.resolve(this.queue(name)?.size),
      prepare: (change) => {
        if (change.type === "queue-declared") this.#addQueue(change.queue);
        return Promise.resolve();
      },
      deleteQueue: (name) => Promise.resolve(this.#deleteQueue(name)),
    });
  }

  /** The tables of all who are connected. */
  get topology(): Topology {
    return this.tables.topology;
  }

  /** A mark that changes whenever a route may. */
  get routes(): string {
    this.dropUnused();
    return this.tables.routes;
  }

  /** Finds a queue, its messages as they are now. */
  queue(name: string): MemoryQueue | undefined {
    const queue = this.#queues.get(name);
    if (queue?.isTimed === true) this.#pass(queue);
    return queue;
  }

  /** Notes that somebody uses a queue. */
  use(name: string): void {
    if (this.#expiring.size === 0) return;
    const queue = this.#queues.get(name);
    if (queue !== undefined) queue.usedAt = this.#clock.now();
  }

  /** Adds a message to a queue, and wakes whoever has waited longest. */
  put(queue: MemoryQueue, message: Kept, times: Times = ALWAYS): void {
    const { dueAt, expiresAt, deliveryCount } = times;
    const timed = dueAt > 0 || expiresAt < Infinity;
    const sequence = ++this.#sequence;
    queue.push(
      { message, sequence, dueAt, expiresAt, deliveryCount },
      timed ? this.#clock.now() : 0,
    );
    if (timed) this.#await(queue);
    this.#wakeFor(queue.name);
  }

  /** Puts a message back to where it was. */
  restore(queue: MemoryQueue, item: Item): void {
    if (queue.deleted) return;
    queue.restore(item);
    if (item.expiresAt < Infinity) this.#await(queue);
    this.#wakeFor(queue.name);
  }

  /** Puts a message into quarantine. */
  setAside({ name, deleted }: MemoryQueue, item: Item): void {
    if (deleted) return;
    const handle = String(item.sequence);
    const aside = this.#aside.get(name);
    if (aside === undefined) this.#aside.set(name, new Map([[handle, item]]));
    else aside.set(handle, item);
  }

  /** What is in quarantine of a queue. */
  aside(queue: string): ReadonlyMap<string, Item> {
    return this.#aside.get(queue) ?? new Map();
  }

  /** Puts a message back out of quarantine, at the end of its queue; says whether it was there. */
  putBack(name: string, handle: string): boolean {
    const [queue, aside] = [this.#queues.get(name), this.#aside.get(name)];
    const item = aside?.get(handle);
    if (queue === undefined || item === undefined) return false;
    aside?.delete(handle);
    const { message, deliveryCount } = item;
    this.put(queue, message, { ...ALWAYS, deliveryCount });
    return true;
  }

  /** Takes one expired message that waits to be carried away, of any queue. */
  takeExpired(): { queue: MemoryQueue; item: Item } | undefined {
    this.#passDue();
    for (const queue of this.#withExpired) {
      const item = queue.expired.shift();
      if (queue.expired.size === 0) this.#withExpired.delete(queue);
      if (item !== undefined) return { queue, item };
    }
    return undefined;
  }

  /** Calls a waiter when one of its queues may have something. */
  wait(waiter: Waiter): void {
    for (const queue of waiter.queues) {
      const waiting = this.#waiting.get(queue);
      if (waiting === undefined) this.#waiting.set(queue, new Set([waiter]));
      else waiting.add(waiter);
    }
    this.#waiterCount++;
    this.#arm();
  }

  /** Forgets a waiter. */
  forget(waiter: Waiter): void {
    let known = false;
    for (const queue of waiter.queues) {
      const waiting = this.#waiting.get(queue);
      if (waiting?.delete(waiter)) known = true;
      if (waiting?.size === 0) this.#waiting.delete(queue);
    }
    if (known && --this.#waiterCount === 0) this.#disarm();
  }

  #wakeFor(queue: string): void {
    const waiting = this.#waiting.get(queue);
    if (waiting === undefined) return;
    for (const waiter of waiting) {
      this.forget(waiter);
      waiter.wake();
      return;
    }
  }

  #addQueue({ name, arguments: declared }: QueueDeclaration): void {
    if (this.#queues.has(name)) return;
    const queue = new MemoryQueue(name, declared, this.#clock.now());
    this.#queues.set(name, queue);
    if (queue.expires !== undefined) {
      this.#expiring.add({ at: queue.usedAt + queue.expires, queue });
    }
  }

  #deleteQueue(name: string): number {
    const queue = this.#queues.get(name);
    if (queue === undefined) return 0;
    queue.pass(this.#clock.now());
    queue.deleted = true;
    this.#queues.delete(name);
    this.#aside.delete(name);
    this.#withExpired.delete(queue);
    // What stands for deleted queues goes before it outnumbers the others.
    const most = 2 * this.#queues.size + 64;
    for (const moments of [this.#expiring, this.#timed]) {
      if (moments.size > most) moments.keep((each) => !each.queue.deleted);
    }
    for (const waiter of this.#waiting.get(name) ?? []) {
      this.forget(waiter);
      waiter.wake();
    }
    return queue.purge();
  }

  /** Deletes queues that nobody has used for as long as they were declared with. */
  dropUnused(): void {
    if (this.#expiring.size === 0) return;
    const now = this.#clock.now();
    for (
      let next = this.#expiring.first;
      next !== undefined && next.at <= now;
      next = this.#expiring.first
    ) {
      this.#expiring.take();
      const { queue } = next;
      if (queue.deleted) continue;
      const record = this.topology.queue(queue.name);
      if (record !== undefined && record.consumers.length > 0) {
        queue.usedAt = now;
      }
      const at = queue.usedAt + (queue.expires ?? Infinity);
      if (at > now) this.#expiring.add({ at, queue });
      else {
        const what = { name: queue.name, ifUnused: false, ifEmpty: false };
        for (
          const change of planDeleteQueue(
            this.topology,
            what,
            record?.owner ?? "",
          )
        ) this.tables.change(change);
        this.#deleteQueue(queue.name);
      }
    }
  }

  #pass(queue: MemoryQueue): void {
    queue.pass(this.#clock.now());
    if (queue.expired.size > 0) this.#withExpired.add(queue);
    this.#appoint(queue);
    if (queue.wakeAt === Infinity && queue.size === 0) queue.isTimed = false;
  }

  /** Passes over the queues whose moment has come. */
  #passDue(): void {
    if (this.#timed.size === 0) return;
    const now = this.#clock.now();
    for (
      let next = this.#timed.first;
      next !== undefined && next.at <= now;
      next = this.#timed.first
    ) {
      this.#timed.take();
      const { queue, at } = next;
      // It was looked at since, and another moment stands for it.
      if (queue.deleted || queue.wakeAt !== at) continue;
      queue.wakeAt = Infinity;
      this.#pass(queue);
    }
  }

  /** Time alone may change something in a queue from now on. */
  #await(queue: MemoryQueue): void {
    queue.isTimed = true;
    this.#appoint(queue);
    this.#arm();
  }

  /** Looks at a queue again when time alone brings something in it. */
  #appoint(queue: MemoryQueue): void {
    const at = queue.nextAt();
    // A moment that stands is early at worst: then it is looked at, and nothing is found.
    if (at >= queue.wakeAt) return;
    queue.wakeAt = at;
    this.#timed.add({ at, queue });
  }

  /** Sees to it that waiters are woken when time alone brings them something. */
  #arm(): void {
    if (this.#waiterCount === 0) return;
    const next = this.#timed.first?.at ?? Infinity;
    if (next >= this.#timerAt) return;
    this.#disarm();
    this.#timerAt = next;
    const delay = Math.max(0, Math.ceil(next - this.#clock.now()));
    this.#stopTimer = this.#clock.timer(() => this.#wakeAll(), delay);
  }

  #disarm(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#timerAt = Infinity;
  }

  /** Everyone looks again: an expired message may be carried away by anyone. */
  #wakeAll(): void {
    this.#disarm();
    const waiters = new Set<Waiter>();
    for (const waiting of this.#waiting.values()) {
      for (const waiter of waiting) waiters.add(waiter);
    }
    for (const waiter of waiters) {
      this.forget(waiter);
      waiter.wake();
    }
  }
}
