import type { Backoff } from "../../async/backoff.ts";
import type { CodecRegistry } from "../../codec/mod.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import type { ConnectionEvent } from "./connection_state.ts";
import { BACKOFF, checkBackoff, FORMER_BACKOFF } from "./backoff_options.ts";
import type { ReadFile } from "./tls_files.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkDuration } from "../operation_options.ts";
import type { Transport, TransportModule } from "../../transports/transport.ts";

/** How to connect again: at first after 100 ms, and at least every ten seconds, unless the waits say otherwise. */
export interface ReconnectOptions extends Backoff {
  /** The maximum number of attempts in a row, each of them over all URLs. @default {Infinity} */
  readonly attempts?: number | undefined;
  /**
   * How many final answers in a row are borne after it has worked once: a login that is
   * refused, a queue that is not there, a password function that throws. They are tried
   * again like transient errors, for a password or a cluster's node may come back; `0` ends
   * with the first. Before it has worked the first one ends it. @default {Infinity}
   */
  readonly maxRefusals?: number | undefined;
}

/** In which order the URLs of a connection are tried. */
export type FailoverStrategy =
  | "round-robin"
  | "shuffle"
  | ((urls: readonly string[]) => Iterable<string>);

const STRATEGIES: readonly FailoverStrategy[] = ["round-robin", "shuffle"];

/** Options of `createConnection`. Values in a URL win over them. */
export interface ConnectionOptions {
  /** The broker's host. */
  readonly hostname?: string | undefined;
  /** The broker's port. */
  readonly port?: number | undefined;
  /** The user's name. */
  readonly username?: string | undefined;
  /** The password, or a function that is asked for it before each connect. */
  readonly password?: string | (() => string | Promise<string>) | undefined;
  /** The virtual host. */
  readonly virtualHost?: string | undefined;
  /**
   * The transport, instead of the URL's scheme: an alias such as `"amqp"`, a
   * transport of your own, or a function that imports one:
   * `() => import("./my_transport/mod.ts")`.
   */
  readonly transport?:
    | string
    | Transport
    | (() => Promise<TransportModule>)
    | undefined;
  /** Whether, and how, to speak TLS; in a URL it is Kombu's `ssl`. It must not contradict the URL. @default {as the scheme says} */
  readonly tls?: boolean | TlsOptions | undefined;
  /** Reads the files that a URL names by `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`: asked before each connect for a file's text. @default {none: such a URL is refused} */
  readonly readFile?: ReadFile | undefined;
  /** Accepted for programs that were written for AMQP 0-8; AMQP 0-9-1 has no such flag, and it has no effect. */
  readonly insist?: boolean | undefined;
  /** Milliseconds that connecting for the first time takes at most, further attempts included, and the import of the client not. @default {5000} */
  readonly connectTimeout?: number | undefined;
  /** Milliseconds that any other call takes at most. @default {30_000} */
  readonly operationTimeout?: number | undefined;
  /** Milliseconds between signs of life, up to 65,535,000; a broker that is silent for two of them is lost. 0 turns them off. @default {10_000} */
  readonly heartbeat?: number | undefined;
  /** In which order several URLs are tried. @default {"round-robin"} */
  readonly failoverStrategy?: FailoverStrategy | undefined;
  /** How to connect again, the first time too; `false` never does, and publishes nothing again. */
  readonly reconnect?: ReconnectOptions | false | undefined;
  /** The transport's own options; its module documents and types them. */
  readonly transportOptions?: Readonly<Record<string, unknown>> | undefined;
  /** The codecs for payloads. @default {JSON, plain text and bytes} */
  readonly codecs?: CodecRegistry | undefined;
  /** The maximum number of bytes that a compressed body may become when its payload is read; a larger one is a `DecodeError`. @default {67_108_864} */
  readonly maxDecompressedSize?: number | undefined;
  /**
   * The maximum number of bytes of one answer of the server: one that sends more is cut off before
   * that is in memory. If messages are larger than a quarter of it, give more: an answer of
   * Redis may have four of them in it. On AMQP a message with a larger body comes without
   * it, and cannot be read. @default {67_108_864}
   */
  readonly maxResponseSize?: number | undefined;
  /**
   * Called with each event of something that went wrong while nobody reads
   * `connection.events()`. The default writes one line to the console, at most once a
   * minute for each kind; the others are counted, and their number is written with the next
   * line, or when the connection is closed or the process ends: `() => {}` is silence.
   */
  readonly onUnhandled?: ((event: ConnectionEvent) => void) | undefined;
  /** A name for the connection, shown by brokers that list connections. */
  readonly name?: string | undefined;
}

/** The limits in force where the options say nothing, ms. */
export const DEFAULTS: {
  readonly connectTimeout: number;
  readonly operationTimeout: number;
  readonly heartbeat: number;
} = { connectTimeout: 5000, operationTimeout: 30_000, heartbeat: 10_000 };

const CONNECTION: KnownOptions = optionsOf<ConnectionOptions>(
  "createConnection",
  {
    hostname: true,
    port: true,
    username: true,
    password: true,
    virtualHost: true,
    transport: "string|object|function",
    tls: true,
    readFile: "function",
    insist: "boolean",
    connectTimeout: true,
    operationTimeout: true,
    heartbeat: true,
    failoverStrategy: "string|function",
    reconnect: true,
    transportOptions: "object",
    codecs: "object",
    maxDecompressedSize: true,
    maxResponseSize: true,
    onUnhandled: "function",
    name: "string",
  },
  {
    retry: '"reconnect"',
    ssl: '"tls"',
    userid: '"username"',
    user: '"username"',
    host: '"hostname"',
    vhost: '"virtualHost"',
    db: '"virtualHost", or the path of the URL',
    clientProperties: 'among "transportOptions"',
    onError: '"onUnhandled"',
  },
);

const RECONNECT: KnownOptions = optionsOf<ReconnectOptions>(
  `"reconnect" of createConnection`,
  { attempts: true, ...BACKOFF, maxRefusals: true },
  FORMER_BACKOFF,
);

/** AMQP's, which is 65,535 seconds, ms. */
const MAX_HEARTBEAT = 65_535_000;

/**
 * Refuses a value that is no heartbeat.
 *
 * @param heartbeat Its value, ms.
 * @throws {RangeError} If it is not a number from 0 to 65,535 seconds.
 */
export function checkHeartbeat(heartbeat: number): void {
  if (
    typeof heartbeat === "number" && heartbeat >= 0 &&
    heartbeat <= MAX_HEARTBEAT
  ) return;
  throw new RangeError(
    `Cannot use ${
      quote(heartbeat)
    } as "heartbeat": it must be a number of milliseconds up to ${MAX_HEARTBEAT}, or 0 for none`,
  );
}

/**
 * Refuses options that make no sense.
 *
 * @param options The options.
 * @throws {OptionError} If one is unknown.
 * @throws {RangeError} If a number is out of range.
 */
export function checkOptions(options: ConnectionOptions): void {
  checkKnown(options, CONNECTION);
  const { connectTimeout, operationTimeout, heartbeat, reconnect } = options;
  const { maxDecompressedSize, maxResponseSize } = options;
  if (maxResponseSize !== undefined) {
    checkCount("maxResponseSize", maxResponseSize, 2 ** 31 - 1);
  }
  if (maxDecompressedSize !== undefined) {
    checkCount("maxDecompressedSize", maxDecompressedSize, 2 ** 31 - 1);
  }
  if (connectTimeout !== undefined) {
    checkDuration("connectTimeout", connectTimeout);
  }
  if (operationTimeout !== undefined) {
    checkDuration("operationTimeout", operationTimeout);
  }
  if (heartbeat !== undefined) checkHeartbeat(heartbeat);
  checkStrategy(options.failoverStrategy);
  if (reconnect === undefined || reconnect === false) return;
  checkKnown(reconnect, RECONNECT);
  checkBackoff("reconnect", reconnect);
  const { attempts, maxRefusals } = reconnect;
  if (attempts !== undefined && attempts !== Infinity) {
    checkCount("reconnect.attempts", attempts, Number.MAX_SAFE_INTEGER);
  }
  if (
    maxRefusals !== undefined && maxRefusals !== Infinity && maxRefusals !== 0
  ) {
    checkCount("reconnect.maxRefusals", maxRefusals, Number.MAX_SAFE_INTEGER);
  }
}

function checkStrategy(given: FailoverStrategy | undefined): void {
  if (
    given === undefined || typeof given === "function" ||
    STRATEGIES.some((each) => each === given)
  ) return;
  throw new OptionError(
    `Cannot use ${
      quote(given)
    } as "failoverStrategy": it must be "round-robin", "shuffle", or a function that orders the URLs`,
  );
}
