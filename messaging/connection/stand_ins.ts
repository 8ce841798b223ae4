import type { Clock } from "../../async/clock.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { MessageProperties } from "../../model/message.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import type { Transport } from "../../transports/transport.ts";

/** A message that a user publishes, as hooks see it. */
export interface SeenPublish {
  readonly origin:
    | "publish"
    | "request"
    | "reply"
    | "redrive"
    | "schedule"
    | "outbox"
    | "relay";
  readonly exchange: string;
  readonly routingKey: string;
  readonly delay: number;
  readonly properties: MessageProperties;
  readonly headers: FieldTable;
  readonly body: Uint8Array;
}

/** The hooks that a test's broker has in its connections: a part of `Middleware`, which leads here. */
export interface TestHooks {
  publish?(message: SeenPublish, next: () => Promise<void>): Promise<void>;
  process?(
    message: object,
    next: () => void | Promise<void>,
  ): void | Promise<void>;
  processBatch?(
    messages: object,
    next: () => void | Promise<void>,
  ): void | Promise<void>;
}

/** A connection that a stand-in is told of. */
export interface StoodIn {
  /** Adds hooks. */
  use(hooks: TestHooks): unknown;
  /** How it is, as far as a test asks. */
  health(): {
    readonly state: { readonly type: string };
    readonly inFlight: number;
    readonly consumers: readonly {
      readonly queues: readonly string[];
      readonly inFlight: number;
      readonly ready: boolean;
    }[];
  };
  /** Closes it. */
  close(options?: { readonly drainTimeout?: number | undefined }): Promise<
    void
  >;
}

/** The broker of a test, in place of the one that a URL names. */
export interface StandIn {
  readonly transport: Transport;
  /** The time of connections to it. */
  readonly clock: Clock;
  /** Chance, from 0 to 1, as their waits have it. */
  readonly random: () => number;
  /** Told of each connection that is made, before it connects; one like another has the hooks of that. */
  made(connection: StoodIn, hasHooks: boolean): void;
}

/** By the hosts of their URLs. */
const STAND_INS = new Map<string, StandIn>();

/**
 * Lets URLs `memory://<host>` lead to the broker of a test.
 *
 * @param host The host, of nobody else.
 * @param standIn The broker.
 * @returns A function that ends it: connections that were made stay its own.
 */
export function addStandIn(host: string, standIn: StandIn): () => void {
  STAND_INS.set(host, standIn);
  return () => STAND_INS.delete(host);
}

/**
 * Finds the broker of a test that a URL leads to.
 *
 * @param url The URL.
 * @returns The broker; `undefined` if it names none.
 */
export function standInOf(
  { scheme, hostname }: Pick<BrokerUrl, "scheme" | "hostname">,
): StandIn | undefined {
  return scheme === "memory" && hostname !== undefined
    ? STAND_INS.get(hostname)
    : undefined;
}
