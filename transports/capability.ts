export type * from "./delayed.ts";
export type * from "./inspection.ts";
export type * from "./outbox.ts";
export type * from "./rates.ts";

/** Something that some brokers can do and others cannot. */
export type Capability =
  | "cancel-delayed"
  | "dead-letter"
  | "dedupe"
  | "delay"
  | "exchange-to-exchange"
  | "exchange-types"
  | "exclusive"
  | "inspect"
  | "key-fairness"
  | "key-order"
  | "known-queues"
  | "lease"
  | "length-limit"
  | "message-ttl"
  | "persistence"
  | "priority"
  | "quarantine"
  | "queue-ttl"
  | "queued-fanout"
  | "shared-rate"
  | "shared-topology"
  | "streams"
  | "transaction"
  | "wide-priority";
