import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import type { Topology } from "../../virtual/topology.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { Malformed, Reservation, ReserveWant } from "../store/store.ts";
import type { Context } from "./context.ts";
import { readMessage } from "./documents.ts";
import type { Fields, Tail } from "./port.ts";

/** How many messages wait here for a queue before no more are read. */
const MAX = 1000;

/** A message that was broadcast: every listener has its own, and nothing is held on the server. */
export class BroadcastReservation implements Reservation {
  readonly queue: string;
  readonly handle: string;
  readonly message: Publishing | Malformed;
  readonly redelivered = false;
  readonly deliveryCount = 0;
  readonly expired = false;
  readonly document: Fields;

  /** Reads a document for a queue. */
  constructor(queue: string, document: Fields) {
    this.queue = queue;
    this.handle = `broadcast ${document._id}`;
    this.message = readMessage(document).message;
    this.document = document;
  }
}

/**
 * Kombu's fanout: a capped collection that every listener reads to its end,
 * again and again. A consumer that does not listen misses it.
 */
export class Fanout {
  readonly #context: Context;
  readonly #topology: () => Topology;
  readonly #writer = new EnvelopeWriter();
  readonly #tails = new Map<string, Tail>();
  /** The messages that were read for each queue, and not taken yet. */
  readonly #heard = new Map<string, BroadcastReservation[]>();
  /** How many consumers listen for each queue. */
  readonly #listeners = new Map<string, number>();

  /** Makes them for one connection. */
  constructor(context: Context, topology: () => Topology) {
    this.#context = context;
    this.#topology = topology;
  }

  /** Sends a message to all listeners. */
  async send(
    exchange: string,
    message: Publishing,
    options?: CallOptions,
  ): Promise<void> {
    const { client, settings: { names } } = this.#context;
    const payload = this.#writer.write(message, crypto.randomUUID());
    await this.#context.call(
      `publish to exchange "${exchange}"`,
      options && { signal: options.signal, deadline: options.deadline },
      () => client.insert(names.broadcast, [{ payload, queue: exchange }]),
    );
  }

  /** Listens for a queue from now on. */
  async listen(queue: string): Promise<void> {
    this.#listeners.set(queue, (this.#listeners.get(queue) ?? 0) + 1);
    if (!this.#heard.has(queue)) this.#heard.set(queue, []);
    const { client, settings: { names } } = this.#context;
    for (const exchange of this.#exchangesOf(queue)) {
      if (this.#tails.has(exchange)) continue;
      const tail = client.tail(names.broadcast, { queue: exchange });
      this.#tails.set(exchange, tail);
      await this.#context.call(
        `listen to exchange "${exchange}"`,
        undefined,
        () => tail.begin(),
      );
    }
  }

  /** Stops listening for one consumer of a queue. */
  async leave(queue: string): Promise<void> {
    const listeners = (this.#listeners.get(queue) ?? 0) - 1;
    if (listeners > 0) {
      this.#listeners.set(queue, listeners);
      return;
    }
    this.#listeners.delete(queue);
    this.#heard.delete(queue);
    const left = new Set<string>();
    for (const each of this.#heard.keys()) {
      for (const exchange of this.#exchangesOf(each)) left.add(exchange);
    }
    for (const [exchange, tail] of this.#tails) {
      if (left.has(exchange)) continue;
      this.#tails.delete(exchange);
      await tail.close();
    }
  }

  /** Takes the messages that were broadcast to some queues. */
  async take(wants: readonly ReserveWant[]): Promise<Reservation[]> {
    if (this.#heard.size === 0) return [];
    await this.#read();
    return wants.flatMap(({ queue, limit }) =>
      this.#heard.get(queue)?.splice(0, limit) ?? []
    );
  }

  /** Puts back what nobody was given. */
  giveBack(taken: readonly BroadcastReservation[]): void {
    for (const each of [...taken].reverse()) {
      this.#heard.get(each.queue)?.unshift(each);
    }
  }

  /** Stops listening. */
  async close(): Promise<void> {
    this.#heard.clear();
    const tails = [...this.#tails.values()];
    this.#tails.clear();
    await Promise.all(tails.map((tail) => tail.close()));
  }

  async #read(): Promise<void> {
    for (const list of this.#heard.values()) if (list.length >= MAX) return;
    for (const [exchange, tail] of this.#tails) {
      const documents = await this.#context.call(
        `listen to exchange "${exchange}"`,
        undefined,
        () => tail.read(),
      );
      if (documents.length === 0) continue;
      for (const [queue, list] of this.#heard) {
        if (!this.#exchangesOf(queue).has(exchange)) continue;
        for (const each of documents) {
          list.push(new BroadcastReservation(queue, each));
        }
      }
    }
  }

  #exchangesOf(queue: string): ReadonlySet<string> {
    const topology = this.#topology();
    const exchanges = new Set<string>();
    for (const { source } of topology.bindingsTo(queue)) {
      if (topology.exchange(source)?.declaration.type === "fanout") {
        exchanges.add(source);
      }
    }
    return exchanges;
  }
}
