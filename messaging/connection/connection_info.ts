import { tokenIn } from "../../url/token.ts";
import type { Peer } from "../../transports/transport.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";
import { type KnownOptions, optionsOf } from "../known_options.ts";

/** Options of `connection.close` and `consumer.close`. */
export interface CloseOptions {
  /** Milliseconds that handlers at work have to end, and messages in flight to be answered for, before it is closed all the same. @default {the connection's `operationTimeout`} */
  readonly drainTimeout?: number | undefined;
}

/** The known options of `close`. */
export const CLOSE: KnownOptions = optionsOf<CloseOptions>("close", {
  drainTimeout: true,
});

/** Options of `connection.asUri`. */
export interface AsUriOptions {
  /** Whether to show the password, where it is a string. @default {false} */
  readonly includePassword?: boolean | undefined;
  /** The text in its place. @default {"**"} */
  readonly mask?: string | undefined;
}

/** The known options of `connection.asUri`. */
export const AS_URI: KnownOptions = optionsOf<AsUriOptions>(
  "connection.asUri",
  { includePassword: "boolean", mask: "string" },
);

/** The address of a connection; no password in it. */
export interface ConnectionInfo {
  /** The name of the connection, where its options give one. */
  readonly name: string | undefined;
  /** The transport's name. */
  readonly transport: string;
  /** The host. */
  readonly hostname: string | undefined;
  /** The port. */
  readonly port: number | undefined;
  /** Who is at the other end of its socket, while it is connected by one; the transport may not know. */
  readonly peer: Peer | undefined;
  /** The user's name; of a token of NATS nothing is shown. */
  readonly username: string | undefined;
  /** The virtual host. */
  readonly virtualHost: string | undefined;
  /** Whether it speaks TLS. */
  readonly tls: boolean;
  /** Milliseconds that `connect()` takes at most. */
  readonly connectTimeout: number;
  /** Milliseconds that any other call takes at most. */
  readonly operationTimeout: number;
  /** Milliseconds between signs of life. */
  readonly heartbeat: number;
  /** All URLs, in order. */
  readonly urls: readonly string[];
}

/**
 * Says what a connection is to.
 *
 * @param endpoint The endpoint in use, or to be tried next.
 * @param all All its endpoints.
 * @param name Its name.
 * @param peer Who is at the other end of its socket.
 * @returns All defaults filled in; no password.
 */
export function infoOf(
  endpoint: Endpoint,
  all: readonly Endpoint[],
  name: string | undefined,
  peer: Peer | undefined,
): ConnectionInfo {
  const { url, transport, tls } = endpoint;
  return {
    name,
    transport,
    hostname: url.hostname,
    port: url.port,
    peer,
    username: tokenIn(url) === undefined ? url.username : undefined,
    virtualHost: url.virtualHost,
    tls: tls !== undefined && tls !== false,
    connectTimeout: endpoint.connectTimeout,
    operationTimeout: endpoint.operationTimeout,
    heartbeat: endpoint.heartbeat,
    urls: all.map((each) => formatEndpoint(each)),
  };
}
