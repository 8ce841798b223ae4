import { checkName } from "../../model/checks.ts";
import { quote } from "../../model/foreign_text.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import {
  binding,
  Exchange,
  type ExchangeBinding,
  exchangeName,
} from "./exchange.ts";
import { checkSchema, type PayloadSchema } from "./schema.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";

/** Options of {@linkcode Queue}. @typeParam T The type of its messages' `payload`. */
export interface QueueOptions<T = unknown> {
  /** The exchange to bind it to; by its name alone it is not declared. */
  // One without a type says nothing of the queue's.
  readonly exchange?: Exchange<T> | Exchange | string | undefined;
  /** The key of that binding, or on a topic exchange the routing pattern. @default {""} */
  readonly routingKey?: string | undefined;
  /** The arguments of that binding: on a headers exchange what to match, and `x-match`. */
  readonly bindingArguments?: FieldTable | undefined;
  /** More bindings. */
  readonly bindings?: readonly ExchangeBinding[] | undefined;
  /** Whether it outlives a restart of the broker. @default {true} */
  readonly durable?: boolean | undefined;
  /** Whether only this connection may use it; it goes with the connection. @default {false} */
  readonly exclusive?: boolean | undefined;
  /** Whether it goes when its last consumer goes. @default {true if exclusive} */
  readonly autoDelete?: boolean | undefined;
  /** Milliseconds without use after which the broker deletes it. */
  readonly expires?: number | undefined;
  /** Milliseconds that a message may wait in it. */
  readonly messageTtl?: number | undefined;
  /** The maximum number of ready messages. */
  readonly maxLength?: number | undefined;
  /** The maximum number of bytes of ready messages. */
  readonly maxLengthBytes?: number | undefined;
  /** The highest priority that it tells apart, 1 to 9, and to 255 where the broker has the capability `wide-priority`. */
  readonly maxPriority?: number | undefined;
  /**
   * Whether it hands out the messages of one `key` one after another and in order, over all
   * processes, and those of other keys meanwhile; it needs the capability `key-order`.
   * `partitions` is for brokers that spread the keys over parts of a queue, 1 to 256, 16 by
   * default; others ignore it. @default {false}
   */
  readonly ordered?: boolean | { readonly partitions?: number | undefined };
  /**
   * The queue for messages that were rejected, expired, or pushed out: it is declared too, by its
   * name alone as durable as this one. Instead of `deadLetterExchange` and
   * `deadLetterRoutingKey`, by which other ways can be said.
   */
  readonly deadLetter?: Queue | string | undefined;
  /** The exchange for messages that were rejected, expired, or pushed out; as an `Exchange` it is declared first. */
  readonly deadLetterExchange?: Exchange | string | undefined;
  /** The key for those, instead of their own. */
  readonly deadLetterRoutingKey?: string | undefined;
  /** The broker's own arguments; the options above win over equal ones. */
  readonly arguments?: FieldTable | undefined;
  /** The schema of consumers of this queue alone that have none of their own. The broker does not know it. @default {its exchange's} */
  readonly schema?: PayloadSchema<T> | undefined;
}

const QUEUE: KnownOptions = optionsOf<QueueOptions>("a Queue", {
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
  /** The broker's own arguments, the options above among them. */
  readonly arguments: FieldTable;
  /** The schema that checks its payloads. */
  readonly schema: PayloadSchema<T> | undefined;

  /**
   * Makes a declaration.
   *
   * @throws {TypeError} If it has no name.
   * @throws {OptionError} If an option is unknown, or has the wrong type.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(name: string, options: QueueOptions<T> = {}) {
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
    this.bindings = bindingsOf(options);
    this.deadLetterExchange = options.deadLetterExchange;
    this.schema = options.schema ?? schemaOf<T>(options.exchange);
    this.deadLetter = deadLetterOf(name, options);
    this.arguments = argumentsOf(name, options, this.deadLetter);
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
  exchange: QueueOptions<T>["exchange"],
): PayloadSchema<T> | undefined {
  if (!(exchange instanceof Exchange)) return undefined;
  return exchange.schema as PayloadSchema<T> | undefined; // the compiler has held T to it
}

function bindingsOf(options: QueueOptions): readonly ExchangeBinding[] {
  const { exchange, routingKey, bindingArguments, bindings = [] } = options;
  // Every queue is bound to the default exchange, by its name.
  if (exchange === undefined || exchangeName(exchange) === "") return bindings;
  return [binding(exchange, routingKey, bindingArguments), ...bindings];
}

function deadLetterOf(
  name: string,
  { deadLetter, deadLetterExchange, deadLetterRoutingKey, durable }:
    QueueOptions,
): Queue | undefined {
  if (deadLetter === undefined) return undefined;
  if (
    deadLetterExchange !== undefined || deadLetterRoutingKey !== undefined
  ) {
    throw new TypeError(
      `Cannot make queue "${name}" with "deadLetter" beside "deadLetterExchange" or "deadLetterRoutingKey": say where its dead letters go in one way`,
    );
  }
  const queue = deadLetter instanceof Queue
    ? deadLetter
    : new Queue(deadLetter, { durable });
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
  options: QueueOptions,
  deadLetter: Queue | undefined,
): FieldTable {
  const { deadLetterExchange } = options;
  const all: Record<string, FieldValue | undefined> = {
    ...options.arguments,
    ...number(name, "x-expires", "expires", options.expires, 1),
    ...number(name, "x-message-ttl", "messageTtl", options.messageTtl, 0),
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
  ordered: QueueOptions["ordered"],
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

function number(
  queue: string,
  argument: string,
  option: string,
  value: number | undefined,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): Record<string, number> {
  if (value === undefined) return {};
  const whole = Math.trunc(value); // a part of a millisecond has no meaning to a broker
  if (typeof value !== "number" || !(whole >= least && whole <= most)) {
    throw new RangeError(
      `Cannot make queue "${queue}" with "${option}" ${
        quote(value)
      }: it must be a number from ${least} to ${most}${
        option === "expires" || option === "messageTtl" ? ", milliseconds" : ""
      }`,
    );
  }
  return { [argument]: whole };
}
