import type { Clock } from "../../async/clock.ts";
import { Heap } from "../../async/heap.ts";
import { type Rate, Windows } from "../../async/windows.ts";
import { planDeleteQueue } from "../../virtual/declare.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { Topology } from "../../virtual/topology.ts";
import { LocalTopology } from "../store/local_topology.ts";
import { Slab } from "../../model/slab.ts";
import type { Kept } from "./kept.ts";
import type { Item } from "./kept.ts";
import { Marks } from "./marks.ts";
import { MemoryQueue } from "./queue.ts";
import type { Held } from "./reservation.ts";

/** Called with a queue that may have something, or that is no more. */
type Listener = (queue: string) => void;

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
  /** The bodies of all messages: nobody is handed a part of this memory. */
  readonly slab: Slab = new Slab();
  /** The marks of messages that are published once. */
  readonly marks: Marks;
  /** The messages that each connection holds. */
  readonly held: Set<Held> = new Set<Held>();
  readonly #clock: Clock;
  readonly #queues = new Map<string, MemoryQueue>();
  /** Queues that go when nobody uses them, by the first moment at which each may. */
  readonly #expiring = new Heap<Appointment>(isSooner);
  /** Queues in which time alone brings something that somebody waits for, by when. */
  readonly #timed = new Heap<Appointment>(isSooner);
  /** Queues with expired messages that wait to be dead-lettered. */
  readonly #withExpired = new Set<MemoryQueue>();
  /** By queue, in the order of their turn. */
  readonly #listeners = new Map<string, Listener[]>();
  /** The quarantined messages, by queue and number. */
  readonly #aside = new Map<string, Map<string, Item>>();
  /** When handlers began, of all connections. */
  readonly #windows = new Windows();
  #sequence = 0;
  #stopTimer: (() => void) | undefined;
  #timerAt = Infinity;

  /** Makes an empty broker; its time is the clock of the first connection. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.marks = new Marks(clock);
    this.tables = new LocalTopology({
      count: (name) => Promise.resolve(this.queue(name)?.size),
      prepare: (change) => {
        if (change.type === "queue-declared") this.#addQueue(change.queue);
        return Promise.resolve();
      },
      deleteQueue: (name) => Promise.resolve(this.#deleteQueue(name)),
    });
  }

  /** The tables of all connections. */
  get topology(): Topology {
    return this.tables.topology;
  }

  /** A mark that changes whenever a route may. */
  get routes(): string {
    this.dropUnused();
    return this.tables.routes;
  }

  /** Counts one more of a group, or says how long until one may be. */
  admit(group: string, rate: Rate): number {
    const now = this.#clock.now();
    const delay = this.#windows.delay(group, rate, now);
    if (delay === 0) this.#windows.note(group, rate, now);
    return delay;
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

  /** Adds a message to a queue, and wakes the caller that has waited longest. */
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

  /** Puts a message back to where it was; it was out, unless it had expired. */
  restore(queue: MemoryQueue, item: Item, wasOut: boolean): void {
    if (queue.deleted) return;
    queue.restore(item, wasOut);
    if (item.expiresAt < Infinity) this.#await(queue);
    this.#wakeFor(queue.name);
  }

  /** Puts a message of an ordered queue that was out back to where it was, after a while. */
  restoreLater(queue: MemoryQueue, item: Item, delay: number): void {
    if (queue.deleted) return;
    const now = this.#clock.now();
    queue.push({ ...item, dueAt: now + delay, keepsKey: true }, now);
    this.#await(queue);
  }

  /** Cancels a delayed message, or moves it; says whether there was one. */
  changeDelayed(
    queue: MemoryQueue,
    messageId: string,
    delay: number | undefined,
  ): boolean {
    this.#pass(queue); // what is due is not delayed any more
    const item = queue.takeDelayed(messageId);
    if (item === undefined || delay === undefined) return item !== undefined;
    const now = this.#clock.now();
    const dueAt = now + delay;
    const expiresAt = item.expiresAt + dueAt - item.dueAt;
    queue.push({ ...item, dueAt, expiresAt }, now);
    this.#await(queue);
    this.#wakeFor(queue.name);
    return true;
  }

  /** The delayed messages of a queue, with the milliseconds until each is due. */
  listDelayed(
    queue: MemoryQueue,
  ): readonly { readonly item: Item; readonly delay: number }[] {
    this.#pass(queue);
    const now = this.#clock.now();
    return queue.listDelayed()
      .map((item) => ({ item, delay: item.dueAt - now }));
  }

  /** Removes a delayed message, unless it is due. */
  removeDelayed(queue: MemoryQueue, item: Item): boolean {
    this.#pass(queue);
    return queue.removeDelayed(item);
  }

  /** Of an ordered queue: a message that was out is settled, and the next of its key may come. */
  settled(queue: MemoryQueue, item: Item): void {
    if (queue.deleted) return;
    queue.settled(item);
    if (queue.size > 0) this.#wakeFor(queue.name);
  }

  /** Puts a message into quarantine. */
  setAside({ name, deleted }: MemoryQueue, item: Item): void {
    if (deleted) return;
    const handle = String(item.sequence);
    const aside = this.#aside.get(name);
    if (aside === undefined) this.#aside.set(name, new Map([[handle, item]]));
    else aside.set(handle, item);
  }

  /** The quarantined messages of a queue. */
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

  /** Takes one expired message that waits to be dead-lettered, of any queue. */
  takeExpired(): { queue: MemoryQueue; item: Item } | undefined {
    this.#passDue();
    for (const queue of this.#withExpired) {
      const item = queue.expired.shift();
      if (queue.expired.size === 0) this.#withExpired.delete(queue);
      if (item !== undefined) return { queue, item };
    }
    return undefined;
  }

  /** Calls a listener, in its turn, when a queue may have something. */
  listen(queue: string, listener: Listener): void {
    const listeners = this.#listeners.get(queue);
    if (listeners === undefined) {
      this.#listeners.set(queue, [listener]);
    } else listeners.push(listener);
    this.#arm();
  }

  /** Removes a listener: messages that it was notified of and has not taken are the next one's. */
  forget(name: string, listener: Listener): void {
    const listeners = this.#listeners.get(name);
    const place = listeners?.indexOf(listener) ?? -1;
    if (listeners === undefined || place < 0) return;
    listeners.splice(place, 1);
    if (listeners.length === 0) {
      this.#listeners.delete(name);
      if (this.#listeners.size === 0) this.#disarm();
    } else if ((this.#queues.get(name)?.size ?? 0) > 0) this.#wakeFor(name);
  }

  #wakeFor(queue: string): void {
    const listeners = this.#listeners.get(queue);
    if (listeners === undefined) return;
    const first = listeners[0];
    if (first === undefined) return;
    if (listeners.length > 1) {
      listeners.shift();
      listeners.push(first);
    }
    first(queue);
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
    // Entries of deleted queues are removed before they outnumber the others.
    const most = 2 * this.#queues.size + 64;
    for (const moments of [this.#expiring, this.#timed]) {
      if (moments.size > most) moments.keep((each) => !each.queue.deleted);
    }
    for (const listener of [...this.#listeners.get(name) ?? []]) listener(name);
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
      this.#wakeFor(queue.name);
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
    if (this.#listeners.size === 0) return;
    const next = this.#timed.first?.at ?? Infinity;
    if (next >= this.#timerAt) return;
    this.#disarm();
    this.#timerAt = next;
    const delay = Math.max(0, Math.ceil(next - this.#clock.now()));
    this.#stopTimer = this.#clock.timer(() => this.#onTime(), delay);
  }

  #disarm(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#timerAt = Infinity;
  }

  /** An expired message may be dead-lettered by any caller that looks. */
  #onTime(): void {
    this.#disarm();
    this.#passDue();
    const [any] = this.#listeners.keys();
    if (this.#withExpired.size > 0 && any !== undefined) this.#wakeFor(any);
    this.#arm();
  }
}
