import type { FieldTable } from "./field_table.ts";

/** How an exchange chooses the queues for a message. */
export type ExchangeType = "direct" | "topic" | "fanout" | "headers";

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
