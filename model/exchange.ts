import type { FieldTable } from "./field_table.ts";

/** How an exchange chooses the queues for a message, on every broker. */
export type RoutingType = "direct" | "topic" | "fanout" | "headers";

/**
 * How an exchange chooses the queues for a message. A type that begins with `x-` belongs to
 * a plugin of the broker's, as `x-consistent-hash`: it needs the capability
 * `exchange-types`.
 */
export type ExchangeType = RoutingType | `x-${string}`;

/** The types that every broker has. */
export const ROUTING_TYPES: readonly RoutingType[] = [
  "direct",
  "topic",
  "fanout",
  "headers",
];

/**
 * Says whether a type is one that every broker has.
 *
 * @param type The type.
 * @returns Whether it is.
 */
export function isRoutingType(type: string): type is RoutingType {
  return ROUTING_TYPES.some((each) => each === type);
}

/** An exchange as it is declared: plain data. */
export interface ExchangeDeclaration {
  /** The name; `""` is the default exchange, which is never declared. */
  readonly name: string;
  /** How it routes. */
  readonly type: ExchangeType;
  /** Whether it outlives a restart of the broker. */
  readonly durable: boolean;
  /** Whether it goes when its last binding goes. */
  readonly autoDelete: boolean;
  /** Whether only other exchanges may publish to it. */
  readonly internal: boolean;
  /** The broker's own arguments, such as `alternate-exchange`. */
  readonly arguments: FieldTable;
}
