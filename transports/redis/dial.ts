import type { Clock } from "../../async/clock.ts";
import type { TlsOptions } from "../../model/tls_options.ts";

/** One server's address. */
export interface Dial {
  /** Its name for people, without the password. */
  readonly broker: string;
  /** A Unix socket's path: then there is no host. */
  readonly path: string | undefined;
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsOptions | undefined;
  /** Milliseconds; 0 is none. */
  readonly heartbeat: number;
  readonly clock: Clock;
}
