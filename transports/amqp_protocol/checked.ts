import { DIRECT_REPLY_TO } from "./direct_reply.ts";
import type { Binding } from "../../model/binding.ts";
import {
  checkBinding,
  checkConsume,
  checkExchangeDeclaration,
  checkName,
  checkPublishing,
  checkQueueDeclaration,
  checkTable,
} from "../../model/checks.ts";
import {
  AccessRefusedError,
  EncodeError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import { bytesOf, sizeOfTable } from "./fields.ts";
import type { AmqpClientChannel, RawConsume, RawMessage } from "./port.ts";

/** A frame's header and its end, a method's or a class's numbers, flags. */
const OVERHEAD = 32;
/** All short strings of a method, or of a message's properties, at their longest. */
const MAX_NAMES = 12 * 256;

/**
 * A client's channel behind a check of all that is to be sent: what cannot be written,
 * or what the broker would end the channel or the connection for, is refused before,
 * by the same errors with both clients.
 */
export class CheckedChannel implements AmqpClientChannel {
  readonly #client: AmqpClientChannel;
  readonly #frameMax: number;
  readonly #onNonsense: (words: string) => void;
  readonly #tags = new Set<string>();
  /** The newest delivery's tag. */
  #newest = 0;
  /** The calls of `get` that wait: what they take is heard of later than what was pushed behind it. */
  #gets = 0;

  /** Makes one; 0 as `frameMax` is no limit. `onNonsense` hears what no broker says. */
  constructor(
    client: AmqpClientChannel,
    frameMax: number,
    onNonsense: (words: string) => void,
  ) {
    this.#client = client;
    this.#frameMax = frameMax === 0 ? Infinity : frameMax;
    this.#onNonsense = onNonsense;
  }

  declareExchange(exchange: ExchangeDeclaration): Promise<unknown> {
    checkExchangeDeclaration(exchange);
    checkLine("exchange", exchange.name);
    this.#checkArguments(exchange.arguments, exchange.name, exchange.type);
    return this.#client.declareExchange(exchange);
  }

  checkExchange(name: string): Promise<unknown> {
    checkBrokerName("exchange", name);
    return this.#client.checkExchange(name);
  }

  deleteExchange(name: string, ifUnused: boolean): Promise<unknown> {
    checkBrokerName("exchange", name);
    return this.#client.deleteExchange(name, ifUnused);
  }

  declareQueue(queue: QueueDeclaration): Promise<QueueStatus> {
    checkQueueDeclaration(queue);
    checkLine("queue", queue.name);
    this.#checkArguments(queue.arguments, queue.name);
    return this.#client.declareQueue(queue);
  }

  checkQueue(name: string): Promise<QueueStatus> {
    checkBrokerName("queue", name);
    return this.#client.checkQueue(name);
  }

  deleteQueue(
    name: string,
    options: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number> {
    checkBrokerName("queue", name);
    return this.#client.deleteQueue(name, options);
  }

  purgeQueue(name: string): Promise<number> {
    checkBrokerName("queue", name);
    return this.#client.purgeQueue(name);
  }

  bind(binding: Binding): Promise<unknown> {
    this.#checkBinding(binding);
    return this.#client.bind(binding);
  }

  unbind(binding: Binding): Promise<unknown> {
    this.#checkBinding(binding);
    return this.#client.unbind(binding);
  }

  publish(message: Publishing, done: (error: unknown) => void): void {
    const size = checkPublishing(message);
    checkLine("exchange", message.exchange);
    if (message.exchange === "") checkLine("queue", message.routingKey);
    if (size + MAX_NAMES + OVERHEAD > this.#frameMax) {
      this.#checkFrame("headers", sizeOfProperties(message.properties));
    }
    this.#client.publish(message, done);
  }

  async get(queue: string, noAck: boolean): Promise<RawMessage | undefined> {
    checkBrokerName("queue", queue);
    this.#gets++;
    try {
      const message = await this.#client.get(queue, noAck);
      if (message === undefined || this.#isNext(message, 1)) return message;
      throw new Error("the broker's answer makes no sense");
    } finally {
      this.#gets--;
    }
  }

  async consume(
    queue: string,
    onMessage: (message: RawMessage | undefined) => void,
    options: RawConsume,
  ): Promise<void> {
    const { consumerTag } = options;
    checkConsume(queue, options);
    checkLine("queue", queue);
    this.#checkArguments(options.arguments, queue, consumerTag);
    if (this.#tags.has(consumerTag)) {
      // RabbitMQ would end the connection.
      throw new AccessRefusedError(
        `Cannot consume from queue ${quote(queue)}: the consumer tag ${
          quote(consumerTag)
        } is in use on this channel`,
        { outcome: "not-sent" },
      );
    }
    this.#tags.add(consumerTag);
    try {
      await this.#client.consume(queue, (message) => {
        if (message === undefined) this.#tags.delete(consumerTag);
        else if (queue === DIRECT_REPLY_TO) return onMessage(message);
        else if (!this.#isNext(message, this.#newest + 1)) return;
        onMessage(message);
      }, options);
    } catch (error) {
      this.#tags.delete(consumerTag);
      throw error;
    }
  }

  async cancel(consumerTag: string): Promise<unknown> {
    const answer = await this.#client.cancel(consumerTag);
    this.#tags.delete(consumerTag);
    return answer;
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.#client.ack(deliveryTag, multiple);
  }

  reject(deliveryTag: number, requeue: boolean): void {
    this.#client.reject(deliveryTag, requeue);
  }

  fail(deliveryTag: number): void {
    this.#client.fail(deliveryTag);
  }

  left(done: (error?: unknown) => void): void {
    this.#client.left(done);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  /** Tags are consecutive: between two there is room for what `get` takes, and for no more. */
  #isNext(
    { fields: { deliveryTag: tag } }: RawMessage,
    least: number,
  ): boolean {
    if (tag >= least && tag <= this.#newest + this.#gets + 1) {
      if (tag > this.#newest) this.#newest = tag;
      return true;
    }
    this.#onNonsense(
      `the broker delivered message ${tag} of a channel after message ${this.#newest}`,
    );
    return false;
  }

  #checkBinding(binding: Binding): void {
    const { source, destination: { kind, name }, routingKey } = binding;
    checkBinding(binding);
    checkLine("exchange", source);
    checkLine(kind, name);
    this.#checkArguments(binding.arguments, source, name, routingKey);
  }

  #checkArguments(table: FieldTable, ...names: readonly string[]): void {
    if (checkTable(table) + MAX_NAMES + OVERHEAD <= this.#frameMax) return;
    const sizes = names.map((name) => 1 + bytesOf(name));
    this.#checkFrame(
      "arguments",
      sizes.reduce((sum, size) => sum + size, sizeOfTable(table)),
    );
  }

  #checkFrame(what: string, size: number): void {
    if (size + OVERHEAD <= this.#frameMax) return;
    throw new EncodeError(
      `Cannot encode ${what} of ${size} bytes: the broker takes frames of ${this.#frameMax}`,
    );
  }
}

function checkBrokerName(kind: string, name: string): void {
  checkName(kind, name);
  checkLine(kind, name);
}

/** RabbitMQ drops line ends from the names that are declared, and knows them by these no more. */
function checkLine(kind: string, name: string): void {
  if (!name.includes("\n") && !name.includes("\r")) return;
  throw new UnsupportedError(
    `Cannot use ${quote(name)} as the name of a${
      kind === "exchange" ? "n" : ""
    } ${kind}: AMQP brokers drop line ends from names`,
  );
}

/** The properties behind the flags of a message's header. */
function sizeOfProperties(properties: MessageProperties): number {
  const { headers, contentType, contentEncoding, correlationId } = properties;
  const { replyTo, messageId, type, userId, appId, expiration } = properties;
  const texts = [
    contentType,
    contentEncoding,
    correlationId,
    replyTo,
    messageId,
    type,
    userId,
    appId,
    expiration === undefined ? undefined : String(expiration),
  ];
  let size = headers === undefined ? 0 : sizeOfTable(headers);
  for (const text of texts) if (text !== undefined) size += 1 + bytesOf(text);
  if (properties.deliveryMode !== undefined) size += 1;
  if (properties.priority !== undefined) size += 1;
  if (properties.timestamp !== undefined) size += 8;
  return size;
}
