import { checkName, checkShortString } from "../../model/checks.ts";
import {
  type ExchangeDeclaration,
  type ExchangeType,
  isRoutingType,
  ROUTING_TYPES,
} from "../../model/exchange.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkSchema, type PayloadSchema } from "./schema.ts";

/** Options of {@linkcode Exchange}. @typeParam T The type of the payloads that are published to it. */
export interface ExchangeOptions<T = unknown> {
  /** How it routes; `x-…` is a type of a plugin of RabbitMQ's, as `x-consistent-hash`, and other brokers refuse it. @default {"direct"} */
  readonly type?: ExchangeType | undefined;
  /** Whether it outlives a restart of the broker. @default {true} */
  readonly durable?: boolean | undefined;
  /** Whether it goes when its last binding goes. @default {false} */
  readonly autoDelete?: boolean | undefined;
  /** Whether only other exchanges may publish to it. @default {false} */
  readonly internal?: boolean | undefined;
  /** The exchanges that its messages come from, if any. */
  readonly bindings?: readonly ExchangeBinding[] | undefined;
  /** The exchange that takes what no binding of this one matches; as an `Exchange` it is declared first. */
  readonly alternateExchange?: Exchange | string | undefined;
  /** The broker's own arguments. */
  readonly arguments?: FieldTable | undefined;
  /** The schema of each queue that is made with this `exchange` and has no `schema` of its own. The broker does not know it. */
  readonly schema?: PayloadSchema<T> | undefined;
}

const EXCHANGE: KnownOptions = optionsOf<ExchangeOptions>("an Exchange", {
  type: true,
  durable: "boolean",
  autoDelete: "boolean",
  internal: "boolean",
  bindings: "array",
  alternateExchange: "string|object",
  arguments: "object",
  schema: true,
});

/**
 * An exchange, as it is to be declared: a value without a connection. Its type is that of
 * the messages that are published to it, and of those from the queues that are made with it.
 *
 * @typeParam T The type of the payloads that are published to it.
 *
 * @example A topic exchange
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Exchange } from "@dashi/mq";
 *
 * const media = new Exchange("media", { type: "topic" });
 * assertEquals(media.durable, true);
 * ```
 */
export class Exchange<T = unknown> implements ExchangeDeclaration {
  /** The name; `""` is the default exchange. */
  readonly name: string;
  /** How it routes. */
  readonly type: ExchangeType;
  /** Whether it outlives a restart of the broker. */
  readonly durable: boolean;
  /** Whether it goes when its last binding goes. */
  readonly autoDelete: boolean;
  /** Whether only other exchanges may publish to it. */
  readonly internal: boolean;
  /** The exchanges that its messages come from, if any. */
  readonly bindings: readonly ExchangeBinding[];
  /** The exchange that takes what no binding of this one matches. */
  readonly alternateExchange: Exchange | string | undefined;
  /** The broker's own arguments. */
  readonly arguments: FieldTable;
  /** The schema that checks the payloads that come from it. */
  readonly schema: PayloadSchema<T> | undefined;

  /**
   * Makes a declaration.
   *
   * @throws {OptionError} If an option is unknown, or a binding is none.
   * @throws {TypeError} If the type is none of the four, nor a plugin's.
   */
  constructor(name: string, options: ExchangeOptions<T> = {}) {
    checkName("exchange", name);
    checkKnown(options, EXCHANGE);
    checkSchema(options.schema, `exchange "${name}"`);
    const type = options.type ?? "direct";
    if (!isRoutingType(type) && !isOfPlugin(type)) {
      throw new TypeError(
        `Cannot make exchange "${name}" of type ${
          quote(type)
        }: it must be one of ${
          ROUTING_TYPES.join(", ")
        }, or of a plugin of RabbitMQ's, as "x-consistent-hash"`,
      );
    }
    this.name = name;
    this.type = type;
    this.durable = options.durable ?? true;
    this.autoDelete = options.autoDelete ?? false;
    this.internal = options.internal ?? false;
    this.bindings = readBindings(options.bindings, `exchange ${quote(name)}`);
    this.schema = options.schema;
    const { alternateExchange } = options;
    this.alternateExchange = alternateExchange;
    this.arguments = alternateExchange === undefined
      ? options.arguments ?? {}
      : {
        ...options.arguments,
        "alternate-exchange": exchangeName(alternateExchange),
      };
  }
}

/** A short string on the wire. */
function isOfPlugin(type: unknown): boolean {
  return typeof type === "string" && /^x-[\w.-]{1,253}$/.test(type);
}

/** A binding as {@linkcode binding} makes it: all but its destination. */
export interface ExchangeBinding {
  /** The exchange that messages come from; by its name alone it is not declared. */
  readonly exchange: Exchange | string;
  /** The key, or on a topic exchange the routing pattern. */
  readonly routingKey: string;
  /** On a headers exchange what to match, and `x-match`. */
  readonly arguments: FieldTable;
}

/**
 * Makes a binding for a queue's or an exchange's `bindings`.
 *
 * @param exchange The exchange that messages come from; by its name alone it is not declared.
 * @param routingKey The key, or on a topic exchange the routing pattern.
 * @param arguments_ On a headers exchange what to match, and `x-match`.
 * @returns The binding.
 *
 * @example Two keys for one queue
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { binding, Queue } from "@dashi/mq";
 *
 * const queue = new Queue("audit", {
 *   bindings: [binding("orders", "paid"), binding("orders", "sent")],
 * });
 * assertEquals(queue.bindings.length, 2);
 * ```
 */
export function binding(
  exchange: Exchange | string,
  routingKey = "",
  arguments_: FieldTable = {},
): ExchangeBinding {
  if (typeof exchange === "string") checkName("exchange", exchange);
  checkShortString("routing key", routingKey);
  return { exchange, routingKey, arguments: arguments_ };
}

const BINDING: KnownOptions = optionsOf<ExchangeBinding>("a binding", {
  exchange: "string|object",
  routingKey: "string",
  arguments: "object",
}, { source: '"exchange"', key: '"routingKey"', pattern: '"routingKey"' });

/**
 * Reads bindings, which may be objects that no compiler has seen: what they leave out is as
 * {@linkcode binding} has it.
 *
 * @param bindings The bindings as they were given.
 * @param of The entity that has them, for an error.
 * @returns The bindings.
 * @throws {OptionError} If one is none.
 */
export function readBindings(
  bindings: readonly ExchangeBinding[] | undefined,
  of: string,
): readonly ExchangeBinding[] {
  return (bindings ?? []).map((each) => readBinding(each, of));
}

/**
 * Reads one binding, in the same way.
 *
 * @param given The binding as it was given.
 * @param of The entity that has it, for an error.
 * @returns The binding.
 * @throws {OptionError} If it is none.
 */
export function readBinding(
  given: ExchangeBinding,
  of: string,
): ExchangeBinding {
  const isNone = Object(given) !== given || given instanceof Exchange ||
    Array.isArray(given);
  if (!isNone) checkKnown(given, BINDING);
  if (isNone || given.exchange === undefined) {
    throw new OptionError(
      `Cannot use ${
        isNone ? quote(given) : 'an object without "exchange"'
      } as a binding of ${of}: make it by binding(exchange, routingKey)`,
    );
  }
  return binding(given.exchange, given.routingKey, given.arguments);
}

/**
 * Reads the name of an exchange that may be given by its name.
 *
 * @param exchange The exchange, or its name.
 * @returns The name.
 */
export function exchangeName(exchange: Exchange | string): string {
  return exchange instanceof Exchange ? exchange.name : exchange;
}
