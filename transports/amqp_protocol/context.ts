import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { Copies } from "./copies.ts";
import type { Delays } from "./delays.ts";
import type { OrderedQueues } from "./ordered_queues.ts";
import type { Parking } from "./parking.ts";
import type { Removals } from "./removals.ts";
import type { Returns } from "./returns.ts";
import type { Server } from "./server.ts";
import type { Streams } from "./streams.ts";

/** The services and settings that a channel has from its connection. */
export interface ChannelContext {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly operationTimeout: number;
  readonly heartbeat: number;
  readonly delays: Delays;
  readonly copies: Copies;
  readonly ordered: OrderedQueues;
  readonly parking: Parking;
  readonly removals: Removals;
  readonly returns: Returns;
  readonly streams: Streams;
  /** The broker, by what it says of itself. */
  server(): Server;
  /** When the broker was last heard of, on the clock. */
  lastHeard(): number;
  /** Why the broker reads nothing for now, in its words. */
  blocked(): string | undefined;
}
