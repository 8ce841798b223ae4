import type { Clock } from "../../async/clock.ts";
import { planDeleteQueue } from "../../virtual/declare.ts";
import { Topology, type TopologyChange } from "../../virtual/topology.ts";
import { Slab } from "../../model/slab.ts";
import type { Kept } from "./kept.ts";
import { type Item, MemoryQueue } from "./queue.ts";

/** Somebody who waits for messages of some queues. */
export interface Waiter {
  readonly queues: readonly string[];
  /** Called once: look again. */
  wake(): void;
}

/** When a message may be delivered, and how often it was. */
type Times = Pick<Item, "dueAt" | "expiresAt" | "deliveryCount">;

const ALWAYS: Times = { dueAt: 0, expiresAt: Infinity, deliveryCount: 0 };

/**
 * A broker in this process: the tables and the queues. Connections come and go;
 * it stays as long as the process.
 */
export class MemoryBroker {
  readonly topology: Topology = new Topology();
  /** Where the bodies are: nobody is handed a part of it. */
  readonly slab: Slab = new Slab();
  readonly #clock: Clock;
  readonly #queues = new Map<string, MemoryQueue>();
  /** Queues that go when nobody uses them. */
  readonly #expiring = new Set<MemoryQueue>();
  /** Queues in which time alone may change something that somebody waits for. */
  readonly #timed = new Set<MemoryQueue>();
  readonly #waiting = new Map<string, Set<Waiter>>();
  /** What is in quarantine, by queue and number. */
  readonly #aside = new Map<string, Map<string, Item>>();
  #waiterCount = 0;
  #changes = 0;
  #version = "0";
  #sequence = 0;
  #stopTimer: (() => void) | undefined;
  #timerAt = Infinity;

  /** Makes an empty broker; time is told by the clock of whoever connected first. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A mark that changes whenever the tables do. */
  get version(): string {
    if (this.#expiring.size > 0) this.#dropUnused();
    return this.#version;
  }

  /** Finds a queue, its messages as they are now. */
  queue(name: string): MemoryQueue | undefined {
    const queue = this.#queues.get(name);
    if (queue !== undefined && this.#timed.has(queue)) this.#pass(queue);
    return queue;
  }

  /** Applies planned changes; returns how many messages went with deleted queues. */
  apply(changes: readonly TopologyChange[]): number {
    let messageCount = 0;
    for (const change of changes) {
      this.topology.apply(change);
      if (change.type === "queue-declared") this.#addQueue(change.queue.name);
      else if (change.type === "queue-deleted") {
        messageCount += this.#deleteQueue(change.name);
      }
    }
    this.#version = String(++this.#changes);
    return messageCount;
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
    if (timed) {
      this.#timed.add(queue);
      this.#arm();
    }
    this.#wakeFor(queue.name);
  }

  /** Puts a message back to where it was. */
  restore(queue: MemoryQueue, item: Item): void {
    if (queue.deleted) return;
    queue.restore(item);
    if (item.expiresAt < Infinity) {
      this.#timed.add(queue);
      this.#arm();
    }
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
    for (const queue of this.#timed) {
      this.#pass(queue);
      const item = queue.expired.shift();
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

  #addQueue(name: string): void {
    if (this.#queues.has(name)) return;
    const declared = this.topology.queue(name)?.declaration.arguments ?? {};
    const queue = new MemoryQueue(name, declared, this.#clock.now());
    this.#queues.set(name, queue);
    if (queue.expires !== undefined) this.#expiring.add(queue);
  }

  #deleteQueue(name: string): number {
    const queue = this.#queues.get(name);
    if (queue === undefined) return 0;
    queue.pass(this.#clock.now());
    queue.deleted = true;
    this.#queues.delete(name);
    this.#aside.delete(name);
    this.#expiring.delete(queue);
    this.#timed.delete(queue);
    for (const waiter of this.#waiting.get(name) ?? []) {
      this.forget(waiter);
      waiter.wake();
    }
    return queue.purge();
  }

  #dropUnused(): void {
    const now = this.#clock.now();
    for (const queue of this.#expiring) {
      const record = this.topology.queue(queue.name);
      if (record !== undefined && record.consumers.length > 0) {
        queue.usedAt = now;
      } else if (now - queue.usedAt >= (queue.expires ?? Infinity)) {
        this.apply(planDeleteQueue(
          this.topology,
          { name: queue.name, ifUnused: false, ifEmpty: false },
          record?.owner ?? "",
        ));
      }
    }
  }

  #pass(queue: MemoryQueue): void {
    queue.pass(this.#clock.now());
    if (queue.nextAt() === Infinity && queue.expired.size === 0) {
      if (queue.size === 0) this.#timed.delete(queue);
    }
  }

  /** Sees to it that waiters are woken when time alone brings them something. */
  #arm(): void {
    if (this.#waiterCount === 0 || this.#timed.size === 0) return;
    let next = Infinity;
    for (const queue of this.#timed) next = Math.min(next, queue.nextAt());
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
