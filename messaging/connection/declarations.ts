import type { Binding, BindingDestination } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import type { Channel } from "../../transports/transport.ts";
import {
  bindingKey,
  bindingTo,
  type Entity,
  exchangesOf,
  isBuiltIn,
  routes,
} from "../entities/entities.ts";
import { Exchange, exchangeName } from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { orGoing } from "./going_exchange.ts";

export { type Entity, isHeld } from "../entities/entities.ts";

/** So many names of earlier connections are kept, for messages that carry them. */
const MAX_FORMER = 1000;

/** So many bindings of one entity are on their way at once. */
const BINDINGS_AT_ONCE = 100;

/**
 * The declarations of a session, in order, to be made again on a new connection; and the
 * names that the broker chose for queues that have none. An entity that was deleted by the
 * session, or has gone with its last consumer, is forgotten.
 */
export class Declarations {
  readonly #entities = new Set<Entity>();
  /** By the queue, for queues without a name: the broker's choice on this connection. */
  readonly #names = new Map<Queue, string>();
  /** Names that the broker chose on earlier connections. */
  readonly #former = new Map<string, Queue>();
  /** The entities that have been declared on the present connection. */
  readonly #done = new Set<Entity>();
  /** The entities that could not be declared again, and are tried later. */
  readonly #failing = new Set<Entity>();
  /** Exchanges that were deleted: what names them does not bring them back. */
  readonly #deleted = new Set<string>();
  /** Bindings that were removed, by their destination. */
  readonly #unbound = new Map<Queue | string, Set<string>>();
  /** How many consumers of the session each queue has. */
  readonly #consumers = new Map<Queue | string, number>();

  /** Whether an entity has been declared on the present connection. */
  has(entity: Entity): boolean {
    return this.#done.has(entity);
  }

  /** Whether an entity has ever been declared by this session, by itself. */
  knows(entity: Entity): boolean {
    return this.#entities.has(entity);
  }

  /** Whether an exchange was declared with something that needs it. */
  needs(entity: Entity): boolean {
    return entity instanceof Exchange && this.exchanges.includes(entity);
  }

  /** All that is to be declared again, in order. */
  get all(): readonly Entity[] {
    return [...this.#entities];
  }

  /** Whether there is anything that leads from an exchange, or to a queue, to declare again. */
  leadsFrom(exchange: string, routingKey: string): boolean {
    return this.#someLeads(this.#everything(), exchange, routingKey);
  }

  /** Whether something of that could not be declared again, and is tried later. */
  isFailing(exchange: string, routingKey: string): boolean {
    return this.#someLeads(this.#failing, exchange, routingKey);
  }

  #someLeads(
    entities: Iterable<Entity>,
    exchange: string,
    routingKey: string,
  ): boolean {
    for (const entity of entities) {
      if (exchange === "") {
        if (
          entity instanceof Queue && this.nameOf(entity) === routingKey
        ) return true;
        continue;
      }
      if (entity.name === exchange && entity instanceof Exchange) return true;
      if (
        entity.bindings.some((each) => exchangeName(each.exchange) === exchange)
      ) {
        return true;
      }
    }
    return false;
  }

  /** Whether a message reaches a queue by the declarations. */
  bindsFor(
    message: Pick<Publishing, "exchange" | "routingKey" | "properties">,
  ): boolean {
    return routes(message, this.#everything());
  }

  /** The entities, and the exchanges that they need. */
  #everything(): Set<Entity> {
    const exchanges = new Set<Exchange>();
    for (const entity of this.#entities) exchangesOf(entity, exchanges);
    return new Set<Entity>([...this.#entities, ...exchanges]);
  }

  /** The names of the queues that were declared. */
  get queueNames(): readonly string[] {
    const queues = this.all.filter((each) => each instanceof Queue);
    return queues.flatMap((queue) => this.nameOf(queue) ?? []);
  }

  /** The exchanges that were declared, and those that other declarations need. */
  get exchanges(): readonly Exchange[] {
    return [...this.#everything()].filter((each) => each instanceof Exchange)
      .filter(({ name }) => !this.#deleted.has(name));
  }

  /** The bindings that were declared, and not removed. */
  get bindings(): readonly Binding[] {
    return [...this.#everything()].flatMap((each) => this.#bindingsOf(each));
  }

  /** The queue of this name, if this session has declared one. */
  queueOf(name: string): Queue | undefined {
    for (const entity of this.#entities) {
      if (entity instanceof Queue && this.nameOf(entity) === name) {
        return entity;
      }
    }
    return undefined;
  }

  /** The name of a queue: its own, or the broker's choice if it has been declared. */
  nameOf(queue: Queue): string | undefined {
    return queue.name === "" ? this.#names.get(queue) : queue.name;
  }

  /** The queue for which the broker chose this name on an earlier connection: it has another now. */
  renamed(name: string): Queue | undefined {
    return this.#former.get(name);
  }

  /** The connection is another: nothing is declared on it yet. */
  reset(): void {
    this.#done.clear();
    for (const [queue, name] of this.#names) this.#former.set(name, queue);
    // A call that names them longer than that has missed its deadline.
    for (const name of this.#former.keys()) {
      if (this.#former.size <= MAX_FORMER) break;
      this.#former.delete(name);
    }
    this.#names.clear();
    this.#failing.clear();
  }

  /** Forgets that these were declared on this connection: they may be gone. */
  doubt(): void {
    this.#done.clear();
  }

  /** Forgets that a queue was declared on this connection: it is gone. */
  doubtQueue(queue: Queue): void {
    this.#done.delete(queue);
    const chosen = this.#names.get(queue);
    if (chosen === undefined) return;
    this.#former.set(chosen, queue);
    this.#names.delete(queue);
  }

  /** An entity could not be declared again, and is tried later. */
  markFailing(entity: Entity): void {
    this.#failing.add(entity);
  }

  /** Whether what could not be declared is still to be declared. */
  isWanted(entity: Entity): boolean {
    return this.#failing.has(entity);
  }

  /** A consumer of a queue begins. */
  use(queue: Queue | string): void {
    const key = keyOf(queue);
    this.#consumers.set(key, (this.#consumers.get(key) ?? 0) + 1);
  }

  /** A consumer of a queue has ended; a queue that is deleted with the last one is forgotten. */
  release(queue: Queue | string): void {
    const key = keyOf(queue);
    const left = (this.#consumers.get(key) ?? 1) - 1;
    if (left > 0) return void this.#consumers.set(key, left);
    this.#consumers.delete(key);
    for (const entity of this.#entities) {
      if (!(entity instanceof Queue) || keyOf(entity) !== key) continue;
      if (entity.autoDelete) this.#forget(entity);
      // Without consumers it may expire.
      else if (mayExpire(entity)) this.#done.delete(entity);
    }
  }

  /** A queue was deleted: it does not come back. */
  forgetQueue(name: string): void {
    for (const entity of this.#entities) {
      if (entity instanceof Queue && this.nameOf(entity) === name) {
        this.#forget(entity);
      }
    }
  }

  /** An exchange was deleted: it does not come back, nor do its bindings. */
  forgetExchange(name: string): void {
    for (const entity of this.#everything()) {
      if (entity.name !== name || !(entity instanceof Exchange)) continue;
      this.#forget(entity);
      this.#deleted.add(name);
    }
  }

  /** A binding was removed: it does not come back. */
  forgetBinding(binding: Binding): void {
    const { kind, name } = binding.destination;
    const key = bindingKey(binding);
    for (const entity of this.#everything()) {
      const destination = this.#destinationOf(entity);
      if (destination?.kind !== kind || destination.name !== name) continue;
      const isIts = entity.bindings.some((each) =>
        bindingKey(bindingTo(destination, each)) === key
      );
      if (!isIts) continue;
      const unbound = this.#unbound.get(placeOf(entity)) ?? new Set();
      this.#unbound.set(placeOf(entity), unbound.add(key));
    }
  }

  #forget(entity: Entity): void {
    this.#entities.delete(entity);
    this.#done.delete(entity);
    this.#failing.delete(entity);
    this.#unbound.delete(placeOf(entity));
    if (entity instanceof Queue) this.#names.delete(entity);
  }

  /** Somebody declares an entity by itself: deleted parts of it come back. */
  recall(entity: Entity): void {
    for (const each of exchangesOf(entity)) {
      this.#deleted.delete(each.name);
      this.#unbound.delete(placeOf(each));
    }
    this.#unbound.delete(placeOf(entity));
  }

  /** Declares an entity with all that it needs, its exchanges first. */
  async declare(
    entity: Entity,
    channel: Channel,
    call: CallOptions,
  ): Promise<QueueStatus | undefined> {
    if (!this.#entities.has(entity)) this.recall(entity);
    const exchanges = [...exchangesOf(entity)];
    for (const each of exchanges) {
      await this.declareExchange(each, channel, call);
    }
    for (const each of exchanges) {
      await this.bindAll(each, channel, call);
    }
    if (entity instanceof Exchange) return this.#declared(entity);
    const { deadLetter } = entity;
    if (deadLetter !== undefined && !this.#done.has(deadLetter)) {
      await this.declare(deadLetter, channel, call);
    }
    return await this.declareQueue(entity, channel, call);
  }

  /** Declares an exchange alone, unless it was deleted. */
  async declareExchange(
    exchange: Exchange,
    channel: Channel,
    call: CallOptions,
  ): Promise<void> {
    const { name, type, durable, autoDelete, internal } = exchange;
    if (isBuiltIn(name) || this.#deleted.has(name)) return;
    // One that goes with its last binding may be gone.
    if (this.#done.has(exchange) && !autoDelete) return;
    await channel.declareExchange({
      name,
      type,
      durable,
      autoDelete,
      internal,
      arguments: exchange.arguments,
    }, call);
  }

  /** Declares a queue alone, and its bindings. */
  async declareQueue(
    queue: Queue,
    channel: Channel,
    call: CallOptions,
  ): Promise<QueueStatus> {
    // A name that the broker chose is reserved: it can be looked at, not declared.
    const chosen = this.#names.get(queue);
    const status = chosen === undefined
      ? await channel.declareQueue(plain(queue), call)
      : await channel.checkQueue(chosen, call);
    if (queue.name === "") this.#names.set(queue, status.name);
    await this.bindAll(queue, channel, call);
    this.#declared(queue);
    return status;
  }

  /** Makes the bindings of an entity that is there, but for those that were removed. */
  async bindAll(
    entity: Entity,
    channel: Channel,
    call: CallOptions,
  ): Promise<void> {
    const bindings = this.#bindingsOf(entity);
    for (let i = 0; i < bindings.length; i += BINDINGS_AT_ONCE) {
      const some = bindings.slice(i, i + BINDINGS_AT_ONCE);
      const ends = await Promise.allSettled(
        some.map((binding) => channel.bind(binding, call)),
      );
      // The first: on AMQP it has ended the channel, with all that are behind it.
      for (const [n, each] of ends.entries()) {
        if (each.status === "rejected") {
          throw orGoing(each.reason, some[n], entity);
        }
      }
    }
  }

  /** The bindings of an entity, but for those that were removed. */
  #bindingsOf(entity: Entity): readonly Binding[] {
    const destination = this.#destinationOf(entity);
    if (destination === undefined || entity.bindings.length === 0) return [];
    const { kind, name } = destination;
    if (kind === "exchange" && this.#deleted.has(name)) return [];
    const unbound = this.#unbound.get(placeOf(entity));
    return entity.bindings
      .filter(({ exchange }) => !this.#deleted.has(exchangeName(exchange)))
      .map((each) => bindingTo(destination, each))
      .filter((each) => !unbound?.has(bindingKey(each)));
  }

  /** Notes that an entity is there. */
  noteDeclared(entity: Entity): void {
    this.#declared(entity);
  }

  /** Notes that an exchange that others need is there at last. */
  noteThere(exchange: Exchange): void {
    this.#failing.delete(exchange);
  }

  #declared(entity: Entity): undefined {
    this.#entities.add(entity);
    this.#done.add(entity);
    this.#failing.delete(entity);
  }

  #destinationOf(entity: Entity): BindingDestination | undefined {
    if (entity instanceof Exchange) {
      return { kind: "exchange", name: entity.name };
    }
    const name = this.nameOf(entity);
    return name === undefined ? undefined : { kind: "queue", name };
  }
}

function keyOf(queue: Queue | string): Queue | string {
  return typeof queue === "string" || queue.name === "" ? queue : queue.name;
}

/** Returns the value that stands for an entity as a destination, over connections too. */
function placeOf(entity: Entity): Queue | string {
  if (entity instanceof Exchange) return `exchange ${entity.name}`;
  return entity.name === "" ? entity : `queue ${entity.name}`;
}

function mayExpire(queue: Queue): boolean {
  return queue.arguments["x-expires"] !== undefined;
}

function plain(queue: Queue): QueueDeclaration {
  const { name, durable, exclusive, autoDelete } = queue;
  return { name, durable, exclusive, autoDelete, arguments: queue.arguments };
}
