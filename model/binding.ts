import type { FieldTable } from "./field_table.ts";

/** The destination of a binding. */
export interface BindingDestination {
  /** A queue, or another exchange. */
  readonly kind: "queue" | "exchange";
  /** Its name. */
  readonly name: string;
}

/** A rule that carries messages from an exchange to a destination. */
export interface Binding {
  /** The name of the exchange that messages come from. */
  readonly source: string;
  /** The queue or exchange that messages go to. */
  readonly destination: BindingDestination;
  /** The key, or on a topic exchange the routing pattern. */
  readonly routingKey: string;
  /** The binding's arguments: on a headers exchange what to match, and `x-match`. */
  readonly arguments: FieldTable;
}
