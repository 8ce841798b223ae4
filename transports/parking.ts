import type { BindingDestination } from "../model/binding.ts";
import type { CallOptions } from "../model/call_options.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { QueueDeclaration } from "../model/queue.ts";

/** Options of `Channel.park`. */
export interface ParkOptions extends CallOptions {
  /** Headers that are added, which say why; it goes without them where they have no room. */
  readonly headers: FieldTable;
  /** How its queue was declared, as far as the caller knows: for brokers that do not tell. */
  readonly declared?: QueueDeclaration | undefined;
}

/** The result of parking a message. */
export type Parked =
  /** It is in the dead letters of its queue, or in the queue that `failedQueue` names. */
  | { readonly type: "parked"; readonly to: BindingDestination }
  /** It could not be read, or not be written there, and is in quarantine. */
  | { readonly type: "quarantined" }
  /** It was rejected: the broker dead-letters it by a rule of its own. */
  | { readonly type: "rejected" };
