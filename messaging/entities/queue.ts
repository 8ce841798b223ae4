import { checkName, MAX_WAIT } from "../../model/checks.ts";
import { quote } from "../../model/foreign_text.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import {
  binding,
  Exchange,
  type ExchangeBinding,
  exchangeName,
  readBindings,
} from "./exchange.ts";
import { checkSchema, type PayloadSchema } from "./schema.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type {
  AnyQueueOptions,
  DelayedRetry,
  QueueOptions,
} from "./queue_options.ts";
import { number } from "./queue_numbers.ts";
import { checkType, delayedRetryOf, typeArguments } from "./queue_types.ts";

const QUEUE: KnownOptions = optionsOf<AnyQueueOptions>("a Queue", {
  type: true,
  exchange: "string|object",
  routingKey: "string",
  bindingArguments: "object",
  bindings: "array",
  durable: "boolean",
  exclusive: "boolean",
  autoDelete: "boolean",
  expires: true,
  messageTtl: true,
  maxLength: true,
  maxLengthBytes: true,
  maxPriority: true,
  overflow: "string",
  deliveryLimit: true,
  delayedRetry: "object",
  deadLetterStrategy: "string",
  maxAge: true,
  maxSegmentBytes: true,
  ordered: "boolean|object",
  deadLetter: "string|object",
  deadLetterExchange: "string|object",
  deadLetterRoutingKey: "string",
  arguments: "object",
  schema: true,
}, {
  ttl: '"messageTtl"',
  deadLetterQueue: '"deadLetter"',
  dlq: '"deadLetter"',
  deadletter: '"deadLetter"',
});

/**
 * A queue with its bindings, as it is to be declared: a value without a
 * connection. Declaring it declares its exchanges too. Its type is that of the payloads that are sent to
 * it and consumed from it.
 *
 * @typeParam T The type of its messages' `payload`.
 *
 * @example A queue of a topic exchange
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Exchange, Queue } from "@dashi/mq";
 *
 * const media = new Exchange("media", { type: "topic" });
 * const video = new Queue("video", {
 *   exchange: media,
 *   routingKey: "video.#",
 *   messageTtl: 60_000,
 * });
 * assertEquals(video.arguments, { "x-message-ttl": 60_000 });
 * ```
 */
export class Queue<T = unknown> implements QueueDeclaration {
  /** The name; `""` lets the broker choose one. */
  readonly name: string;
  /** Whether it outlives a restart of the broker. */
  readonly durable: boolean;
  /** Whether only this connection may use it. */
  readonly exclusive: boolean;
  /** Whether it goes when its last consumer goes. */
  readonly autoDelete: boolean;
  /** All its bindings. */
  readonly bindings: readonly ExchangeBinding[];
  /** The exchange for messages that were rejected, expired, or pushed out. */
  readonly deadLetterExchange: Exchange | string | undefined;
  /** The queue for those, where it is declared with this one. */
  readonly deadLetter: Queue | undefined;
  /** The waits of `run` before a message is tried again, where its `retry` says none. */
  readonly delayedRetry: DelayedRetry | undefined;
  /** The broker's own arguments, the options above among them. */
  readonly arguments: FieldTable;
  /** The schema that checks its payloads. */
  readonly schema: PayloadSchema<T> | undefined;

  /**
   * Makes a declaration.
   *
   * @throws {TypeError} If it has no name, or an option that queues of its `type` do not take.
   * @throws {OptionError} If an option is unknown, or has the wrong type.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(name: string, given: QueueOptions<T> = {}) {
    const options: AnyQueueOptions<T> = given;
    if (typeof name !== "string") {
      throw new TypeError(
        `Cannot make a queue of the name ${
          quote(name)
        }: it must be a string; "" lets the broker choose one`,
      );
    }
    checkName("queue", name);
    checkKnown(options, QUEUE);
    checkSchema(options.schema, `queue "${name}"`);
    this.name = name;
    this.durable = options.durable ?? true;
    this.exclusive = options.exclusive ?? false;
    this.autoDelete = options.autoDelete ?? this.exclusive;
    this.bindings = bindingsOf(name, options);
    this.deadLetterExchange = options.deadLetterExchange;
    this.schema = options.schema ?? schemaOf<T>(options.exchange);
    this.deadLetter = deadLetterOf(name, options);
    this.delayedRetry = delayedRetryOf(name, options.delayedRetry);
    this.arguments = argumentsOf(name, options, this.deadLetter);
    checkType(this);
  }
}

/**
 * Reads the name of a queue that may be given by its name.
 *
 * @param queue The queue, or its name.
 * @returns The name.
 */
export function queueName(queue: Queue | string): string {
  return queue instanceof Queue ? queue.name : queue;
}

function schemaOf<T>(
  exchange: AnyQueueOptions<T>["exchange"],
): PayloadSchema<T> | undefined {
  if (!(exchange instanceof Exchange)) return undefined;
  return exchange.schema as PayloadSchema<T> | undefined; // the compiler has held T to it
}

function bindingsOf(
  name: string,
  options: AnyQueueOptions,
): readonly ExchangeBinding[] {
  const { exchange, routingKey, bindingArguments } = options;
  const bindings = readBindings(options.bindings, `queue ${quote(name)}`);
  // Every queue is bound to the default exchange, by its name.
  if (exchange === undefined || exchangeName(exchange) === "") return bindings;
  return [binding(exchange, routingKey, bindingArguments), ...bindings];
}

function deadLetterOf(
  name: string,
  { deadLetter, deadLetterExchange, deadLetterRoutingKey, durable }:
    AnyQueueOptions,
): Queue | undefined {
  if (deadLetter === undefined) return undefined;
  if (
    deadLetterExchange !== undefined || deadLetterRoutingKey !== undefined
  ) {
    throw new TypeError(
      `Cannot make queue "${name}" with "deadLetter" beside "deadLetterExchange" or "deadLetterRoutingKey": say where its dead letters go in one way`,
    );
  }
  const queue = typeof deadLetter === "string"
    ? new Queue(deadLetter, { durable })
    : deadLetter;
  if (!(queue instanceof Queue)) {
    throw new TypeError(
      `Cannot make queue "${name}" with "deadLetter" ${
        quote(deadLetter)
      }: it must be a Queue, or the name of one`,
    );
  }
  if (queue.name !== "" && queue.name !== name) return queue;
  throw new TypeError(
    `Cannot make queue "${name}" with "deadLetter" ${
      quote(queue.name)
    }: it must be another queue, with a name`,
  );
}

/**
 * Says whether only one consumer at a time takes a queue's messages: what goes back must
 * not be overtaken, and what is written again loses its place.
 *
 * @param queue The queue, or how it is declared.
 * @returns Whether that holds.
 */
export function hasSingleActiveConsumer(
  queue: Pick<QueueDeclaration, "arguments">,
): boolean {
  return queue.arguments["x-single-active-consumer"] === true;
}

function argumentsOf(
  name: string,
  options: AnyQueueOptions,
  deadLetter: Queue | undefined,
): FieldTable {
  const { deadLetterExchange } = options;
  const all: Record<string, FieldValue | undefined> = {
    ...options.arguments,
    ...number(name, "x-expires", "expires", options.expires, 1, MAX_WAIT),
    ...number(
      name,
      "x-message-ttl",
      "messageTtl",
      options.messageTtl,
      0,
      MAX_WAIT,
    ),
    ...number(name, "x-max-length", "maxLength", options.maxLength, 0),
    ...number(
      name,
      "x-max-length-bytes",
      "maxLengthBytes",
      options.maxLengthBytes,
      0,
    ),
    ...number(
      name,
      "x-max-priority",
      "maxPriority",
      options.maxPriority,
      1,
      255,
    ),
    ...typeArguments(name, options),
  };
  const ordered = orderedOf(name, options.ordered);
  if (ordered !== undefined) all["x-ordered"] = ordered;
  if (deadLetterExchange !== undefined) {
    all["x-dead-letter-exchange"] = exchangeName(deadLetterExchange);
  }
  if (deadLetter !== undefined) {
    all["x-dead-letter-exchange"] = "";
    all["x-dead-letter-routing-key"] = deadLetter.name;
  }
  if (options.deadLetterRoutingKey !== undefined) {
    all["x-dead-letter-routing-key"] = options.deadLetterRoutingKey;
  }
  return all;
}

const ORDERED: KnownOptions = optionsOf<{ partitions?: number }>(
  '"ordered" of a Queue',
  { partitions: true },
);

/** The argument `x-ordered`; `undefined` where there is none. */
function orderedOf(
  queue: string,
  ordered: AnyQueueOptions["ordered"],
): true | number | undefined {
  if (ordered === undefined || ordered === false) return undefined;
  if (ordered === true) return true;
  checkKnown(ordered, ORDERED);
  const { partitions } = ordered;
  const { "x-ordered": given = true } = number(
    queue,
    "x-ordered",
    "ordered.partitions",
    partitions,
    1,
    256,
  );
  return given;
}

/**
 * Says whether a queue hands out the messages of a key one after another.
 *
 * @param queue The queue, or how it is declared.
 * @returns Whether it does.
 */
export function isOrdered(
  queue: Pick<QueueDeclaration, "arguments">,
): boolean {
  return queueTraits(queue.arguments).ordered;
}
