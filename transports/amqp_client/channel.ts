import type { Binding } from "../../model/binding.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import { deliveryTag, type Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import { describe } from "../amqp_protocol/failure.ts";
import type {
  AmqpClientChannel,
  ClientEvents,
  RawConsume,
  RawMessage,
} from "../amqp_protocol/port.ts";
import { Window } from "../store/window.ts";
import type { FrameWriter, Method } from "./frame_writer.ts";
import { bits, METHODS } from "./methods.ts";
import { writeProperties } from "./properties.ts";

/** The flags of a `nack` of one message that gives it back. */
const REQUEUE = 2;

/** The connection, as its channels use it. */
export interface Outgoing {
  readonly writer: FrameWriter;
  /** Sends the written frames at the end of the turn. */
  flushLater(): void;
  /** Sends the written frames, and calls back when they have left. */
  left(done: (error?: unknown) => void): void;
  /** Ends the connection: a frame makes no sense. */
  cut(error: Error): void;
}

/** The consumers' tags that the package knows. */
export interface KnownConsumers {
  add(consumerTag: string): void;
  remove(consumerTag: string): void;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A channel: writes calls, and receives frames. Calls leave in the order in which they are made. */
export class ClientChannel implements AmqpClientChannel {
  readonly #id: number;
  readonly #link: Outgoing;
  readonly #writer: FrameWriter;
  readonly #events: ClientEvents;
  readonly #known: KnownConsumers;
  readonly #consumers = new Map<
    string,
    (message: RawMessage | undefined) => void
  >();
  /** The calls that wait for an answer. Answers come in order. */
  readonly #pending: Pending[] = [];
  /** The publishes that wait for a confirm, by the broker's count. */
  readonly #confirms = new Window<(error: unknown) => void>();
  #state: "open" | "closing" | "ended" = "open";

  /** Made by the connection. */
  constructor(
    id: number,
    link: Outgoing,
    events: ClientEvents,
    known: KnownConsumers,
  ) {
    this.#id = id;
    this.#link = link;
    this.#writer = link.writer;
    this.#events = events;
    this.#known = known;
  }

  /** Opens it, with confirms. */
  async open(): Promise<void> {
    const none = () => this.#writer.octet(0);
    await Promise.all([
      this.#call(METHODS.channelOpen, none),
      this.#call(METHODS.confirmSelect, none),
    ]);
  }

  declareExchange(exchange: ExchangeDeclaration): Promise<unknown> {
    const { name, type, durable, autoDelete, internal } = exchange;
    return this.#call(METHODS.exchangeDeclare, (writer) => {
      writer.short(0);
      writer.shortString(name);
      writer.shortString(type);
      writer.octet(bits(false, durable, autoDelete, internal));
      writer.table(exchange.arguments);
    });
  }

  checkExchange(name: string): Promise<unknown> {
    return this.#call(METHODS.exchangeDeclare, (writer) => {
      writer.short(0);
      writer.shortString(name);
      writer.shortString("direct");
      writer.octet(bits(true));
      writer.table({});
    });
  }

  deleteExchange(name: string, ifUnused: boolean): Promise<unknown> {
    return this.#call(METHODS.exchangeDelete, (writer) => {
      writer.short(0);
      writer.shortString(name);
      writer.octet(bits(ifUnused));
    });
  }

  async declareQueue(queue: QueueDeclaration): Promise<QueueStatus> {
    const { name, durable, exclusive, autoDelete } = queue;
    return statusOf(
      await this.#call(METHODS.queueDeclare, (writer) => {
        writer.short(0);
        writer.shortString(name);
        writer.octet(bits(false, durable, exclusive, autoDelete));
        writer.table(queue.arguments);
      }),
    );
  }

  async checkQueue(name: string): Promise<QueueStatus> {
    return statusOf(
      await this.#call(METHODS.queueDeclare, (writer) => {
        writer.short(0);
        writer.shortString(name);
        writer.octet(bits(true));
        writer.table({});
      }),
    );
  }

  async deleteQueue(
    name: string,
    options: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number> {
    const answer = await this.#call(METHODS.queueDelete, (writer) => {
      writer.short(0);
      writer.shortString(name);
      writer.octet(bits(options.ifUnused, options.ifEmpty));
    });
    return numberOf(answer, "messageCount");
  }

  async purgeQueue(name: string): Promise<number> {
    const answer = await this.#call(METHODS.queuePurge, (writer) => {
      writer.short(0);
      writer.shortString(name);
      writer.octet(0);
    });
    return numberOf(answer, "messageCount");
  }

  bind(binding: Binding): Promise<unknown> {
    return binding.destination.kind === "queue"
      ? this.#bind(METHODS.queueBind, binding, true)
      : this.#bind(METHODS.exchangeBind, binding, true);
  }

  unbind(binding: Binding): Promise<unknown> {
    // Of all four, only this method has no `no-wait`.
    return binding.destination.kind === "queue"
      ? this.#bind(METHODS.queueUnbind, binding, false)
      : this.#bind(METHODS.exchangeUnbind, binding, true);
  }

  publish(message: Publishing, done: (error: unknown) => void): void {
    this.#check();
    const writer = this.#writer;
    writer.message(
      this.#id,
      METHODS.publish,
      () => {
        writer.short(0);
        writer.shortString(message.exchange);
        writer.shortString(message.routingKey);
        writer.octet(bits(message.mandatory));
      },
      message.body,
      () => writeProperties(writer, message.properties),
    );
    this.#confirms.add(done);
    this.#link.flushLater();
  }

  async get(queue: string, noAck: boolean): Promise<RawMessage | undefined> {
    const answer = await this.#call(METHODS.get, (writer) => {
      writer.short(0);
      writer.shortString(queue);
      writer.octet(bits(noAck));
    });
    return isMessage(answer) ? answer : undefined;
  }

  async consume(
    queue: string,
    onMessage: (message: RawMessage | undefined) => void,
    options: RawConsume,
  ): Promise<void> {
    const { consumerTag, noAck, exclusive } = options;
    // Together: no other consumer's prefetch may come between the two.
    const limited = this.#call(METHODS.qos, (writer) => {
      writer.long(0);
      writer.short(options.prefetch);
      writer.octet(0);
    });
    // Known before it is asked for: its messages may come with the answer.
    this.#consumers.set(consumerTag, onMessage);
    this.#known.add(consumerTag);
    const consumed = this.#call(METHODS.consume, (writer) => {
      writer.short(0);
      writer.shortString(queue);
      writer.shortString(consumerTag);
      writer.octet(bits(false, noAck, exclusive));
      writer.table(options.arguments);
    });
    try {
      await Promise.all([limited, consumed]);
    } catch (error) {
      this.#forget(consumerTag);
      throw error;
    }
  }

  async cancel(consumerTag: string): Promise<unknown> {
    const answer = await this.#call(METHODS.cancel, (writer) => {
      writer.shortString(consumerTag);
      writer.octet(0);
    });
    this.#forget(consumerTag);
    return answer;
  }

  ack(tag: number, multiple: boolean): void {
    this.#settle(METHODS.ack, tag, multiple ? 1 : 0);
  }

  reject(tag: number, requeue: boolean): void {
    // What `reject` settles RabbitMQ counts as failed, and what `nack` does not: its dead letter, too (4.3).
    this.#settle(METHODS.nack, tag, requeue ? REQUEUE : 0);
  }

  fail(tag: number): void {
    this.#settle(METHODS.reject, tag, 1);
  }

  left(done: (error?: unknown) => void): void {
    this.#link.left(done);
  }

  async close(): Promise<void> {
    if (this.#state !== "open") return;
    const closed = this.#call(METHODS.channelClose, (writer) => {
      writer.short(200);
      writer.shortString("");
      writer.long(0);
    });
    this.#state = "closing";
    await closed;
  }

  /** The broker has answered a call: the oldest. */
  answered(value: unknown): void {
    this.#pending.shift()?.resolve(value);
  }

  /** The broker has answered for a publish, or for all up to it. */
  confirmed(tag: number, multiple: boolean, nack: boolean): void {
    if (tag >= this.#confirms.next || (tag === 0 && !multiple)) {
      return this.#link.cut(
        new Error(
          `the broker confirmed message ${tag} of ${this.#confirms.next - 1}`,
        ),
      );
    }
    const error = nack ? new Error("the broker nacked it") : undefined;
    if (!multiple) this.#confirms.take(deliveryTag(tag))?.(error);
    else {
      // AMQP's 0 stands for all that is outstanding.
      const taken = tag === 0
        ? this.#confirms.clear()
        : this.#confirms.takeUpTo(deliveryTag(tag));
      for (const done of taken) done(error);
    }
  }

  /** The broker gives a mandatory message back. */
  returned(message: RawMessage): void {
    this.#events.returned?.(message);
  }

  /** A message for a consumer; `undefined` says that the broker has ended it. */
  delivered(consumerTag: string, message: RawMessage | undefined): void {
    // A closed channel gets no more deliveries: the messages go back to their queue.
    if (this.#state !== "open") return;
    this.#consumers.get(consumerTag)?.(message);
    if (message === undefined) this.#forget(consumerTag);
  }

  /** It has ended: by us, or by the broker, or with its connection, as the error says. */
  ended(error: Error | undefined): void {
    if (this.#state === "ended") return;
    const [first, ...rest] = this.#pending.splice(0);
    if (error === undefined) first?.resolve(undefined);
    else first?.reject(error);
    for (const { reject } of rest) reject(new Error("the channel was closed"));
    this.#state = "ended";
    this.#confirms.clear();
    this.#consumers.clear();
    const isOwn = error !== undefined && error.message.startsWith("channel ");
    this.#events.closed(isOwn ? describe(error) : undefined);
  }

  #bind(method: Method, binding: Binding, hasNoWait: boolean) {
    return this.#call(method, (writer) => {
      writer.short(0);
      writer.shortString(binding.destination.name);
      writer.shortString(binding.source);
      writer.shortString(binding.routingKey);
      if (hasNoWait) writer.octet(0);
      writer.table(binding.arguments);
    });
  }

  #settle(method: Method, tag: number, flags: number): void {
    this.#check();
    const writer = this.#writer;
    writer.method(this.#id, method, () => {
      writer.longlong(tag);
      writer.octet(flags);
    });
    this.#link.flushLater();
  }

  #call(
    method: Method,
    write: (writer: FrameWriter) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#check();
      this.#writer.method(this.#id, method, () => write(this.#writer));
      this.#pending.push({ resolve, reject });
      this.#link.flushLater();
    });
  }

  #forget(consumerTag: string): void {
    this.#consumers.delete(consumerTag);
    this.#known.remove(consumerTag);
  }

  #check(): void {
    if (this.#state !== "open") throw new Error("the channel was closed");
  }
}

function statusOf(answer: unknown): QueueStatus {
  const name = typeof answer === "object" && answer !== null &&
      "name" in answer && typeof answer.name === "string"
    ? answer.name
    : "";
  return {
    name,
    messageCount: numberOf(answer, "messageCount"),
    consumerCount: numberOf(answer, "consumerCount"),
  };
}

function numberOf(answer: unknown, name: string): number {
  if (typeof answer !== "object" || answer === null) return 0;
  const value: unknown = Object.entries(answer).find(([key]) => key === name)
    ?.[1];
  return typeof value === "number" ? value : 0;
}

function isMessage(answer: unknown): answer is RawMessage {
  return typeof answer === "object" && answer !== null && "fields" in answer;
}
