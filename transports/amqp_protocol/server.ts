import type { FieldValue } from "../../model/field_table.ts";
import type { Capability } from "../transport.ts";
import type { ServerInfo } from "../server_info.ts";
import { fromFields } from "./fields.ts";

/** What RabbitMQ can. */
const OF_RABBITMQ: ReadonlySet<Capability> = new Set<Capability>([
  "dead-letter",
  "delay",
  "exchange-to-exchange",
  "exchange-types",
  "exclusive",
  "key-order",
  "known-queues",
  "length-limit",
  "message-ttl",
  "persistence",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
  "streams",
  "wide-priority",
]);

/** What AMQP 0-9-1 itself asks of each broker. */
const OF_PROTOCOL: ReadonlySet<Capability> = new Set<Capability>([
  "exclusive",
  "known-queues",
  "persistence",
  "queued-fanout",
  "shared-topology",
]);

const OF_PROTOCOL_AND_BINDINGS: ReadonlySet<Capability> = new Set<Capability>([
  ...OF_PROTOCOL,
  "exchange-to-exchange",
]);

/** Servers that have RabbitMQ's arguments, headers and extensions, and its meaning of them. */
const LIKE_RABBITMQ: readonly (string | undefined)[] = ["RabbitMQ", "LavinMQ"];

/** What a broker says of itself when it is connected to. */
export class Server implements Pick<ServerInfo, "product" | "version"> {
  readonly product: string | undefined;
  readonly version: string | undefined;
  /** Whether it has RabbitMQ's extensions of AMQP, such as `CC`, and alternate exchanges. */
  readonly isLikeRabbitmq: boolean;
  /** Whether its quorum queues wait before they hand out again what a handler failed for, where their arguments say so. */
  readonly hasDelayedRetry: boolean;
  /** Whether a message that is rejected for good comes back: Qpid delivers it again, for ever, and only an ack removes it. */
  readonly requeuesRejected: boolean;
  /**
   * What it can, by who it says it is, without what its management can. An argument of a
   * queue that a broker does not know, it ignores: so of one that nobody knows here nothing
   * is claimed but the protocol, and what it says that it can.
   */
  readonly capabilities: ReadonlySet<Capability>;

  /** Reads it of its `server-properties`, as a client has them. */
  constructor(properties: object) {
    const { product, version, capabilities } = fromFields(properties);
    this.product = typeof product === "string" ? product : undefined;
    this.version = typeof version === "string" ? version : undefined;
    this.isLikeRabbitmq = LIKE_RABBITMQ.includes(this.product);
    this.hasDelayedRetry = this.product === "RabbitMQ" &&
      isSince(this.version, 4, 3);
    this.requeuesRejected = this.product?.startsWith("Apache Qpid") === true;
    this.capabilities = this.isLikeRabbitmq
      ? OF_RABBITMQ
      : hasBindings(capabilities)
      ? OF_PROTOCOL_AND_BINDINGS
      : OF_PROTOCOL;
  }
}

function hasBindings(told: FieldValue | undefined): boolean {
  return typeof told === "object" && told !== null &&
    "exchange_exchange_bindings" in told &&
    told.exchange_exchange_bindings === true;
}

function isSince(
  version: string | undefined,
  major: number,
  minor: number,
): boolean {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  const difference = Number(first) - major;
  return difference > 0 || (difference === 0 && Number(second) >= minor);
}
