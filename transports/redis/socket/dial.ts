import type { Clock } from "../../../async/clock.ts";
import { nodeTlsOptions, type TlsOptions } from "../../../model/tls_options.ts";

/** One server's address. */
export interface Dial {
  /** Its name for people, without the password. */
  readonly broker: string;
  /** A Unix socket's path: then there is no host. */
  readonly path: string | undefined;
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsOptions | undefined;
  /** Whether it is a node of a cluster, which may send a call to another. */
  readonly isNode: boolean;
  /** Whether whoever dials anew comes to the same server: there are no sentinels, nor other URLs. */
  readonly isAlone: boolean;
  /** Milliseconds; 0 is none. */
  readonly heartbeat: number;
  /** The maximum number of bytes of an answer. */
  readonly maxResponseSize: number;
  /** After how long without any answer the link is as good as lost, ms. */
  readonly silence: number;
  readonly clock: Clock;
}

/** Says how the client is to dial, and that it is to do no more than that. */
export function redisOptions(
  dial: Dial,
  timeout: number,
): Readonly<Record<string, unknown>> {
  return {
    ...(dial.path === undefined
      ? { host: dial.hostname, port: dial.port }
      : { path: dial.path }),
    ...(dial.tls === undefined ? {} : { tls: nodeTlsOptions(dial.tls) }),
    // Under 3 the client drops what the server tells of changed keys.
    protocol: 2,
    lazyConnect: true,
    connectTimeout: timeout,
    // Lost commands are sent again by the callers, which know what they were: the client
    // alone would send twice, or wait for ever.
    retryStrategy: () => null,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    disableClientInfo: true,
  };
}
