import type { Clock } from "../../async/clock.ts";
import type { ReconnectOptions } from "./connection_options.ts";
import type { Failover } from "./failover.ts";
import type { UnhandledListener } from "./unhandled.ts";

/** What a session is made of. */
export interface SessionSettings {
  readonly failover: Failover;
  readonly reconnect: ReconnectOptions | false;
  readonly clock: Clock;
  readonly random: () => number;
  readonly name: string | undefined;
  /** Called with what went wrong where nobody listens. */
  readonly onUnhandled: UnhandledListener | undefined;
}
