import type { Clock } from "../../async/clock.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { NatsClient } from "./client.ts";
import type { NatsSettings } from "./options.ts";

/** What all parts of a connection use of it. */
export interface NatsContext {
  readonly client: NatsClient;
  readonly settings: NatsSettings;
  readonly clock: Clock;
  readonly lifeline: Lifeline;
  readonly owner: string;
  /** Milliseconds between signs of life; 0 for none. */
  readonly heartbeat: number;
}
