import type { FieldTable } from "../../model/field_table.ts";
import { readTls, type TlsOptions } from "../../model/tls_options.ts";
import { checkTable } from "../../model/checks.ts";
import { errorText } from "../../model/error_text.ts";
import { OptionError } from "../../model/errors.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import {
  integerOption,
  invalidOption,
  type OptionReader,
  type OptionReaders,
  wordOption,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";

/** The AMQP transports' own options, as `transportOptions` or in the URL. */
export interface AmqpTransportOptions {
  /** The largest frame, bytes; in a URL `frame_max`. 0 takes what the broker offers. @default {0} */
  readonly frameMax?: number | undefined;
  /** The maximum number of channels; in a URL `channel_max`. 0 takes what the broker offers. @default {0} */
  readonly channelMax?: number | undefined;
  /** How to log in; in a URL `login_method`. `EXTERNAL` uses the client's certificate. @default {"PLAIN"} */
  readonly loginMethod?: "PLAIN" | "EXTERNAL" | undefined;
  /** Told to the broker, and shown by it, beside the library's own. */
  readonly clientProperties?: FieldTable | undefined;
  /**
   * Where RabbitMQ's management API is, by which `connection.inspect()` sees all queues:
   * `http://localhost:15672`, or with a path, by `https` too. Its user needs the tag
   * `management`; without one in the URL it is the connection's. @default {none}
   */
  readonly managementUrl?: string | undefined;
}

/** The place of a management API. */
export interface ManagementPlace {
  /** Without a user, and without a slash at the end. */
  readonly base: string;
  /** The user; `undefined` is the connection's, with its password. */
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** All that the client needs to dial. */
export interface DialOptions {
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  readonly virtualHost: string;
  readonly tls: TlsOptions | undefined;
  /** Seconds; 0 is none. */
  readonly heartbeat: number;
  readonly frameMax: number;
  readonly channelMax: number;
  readonly loginMethod: "PLAIN" | "EXTERNAL";
  readonly clientProperties: FieldTable;
  readonly management: ManagementPlace | undefined;
  /** The largest body, and the largest frame, bytes. */
  readonly maxResponseSize: number;
}

const CLIENT_PROPERTIES: OptionReader<FieldTable> = {
  fromObject(name, value) {
    if (!isTable(value)) {
      throw invalidOption(name, value, "an object");
    }
    try {
      checkTable(value);
      return value;
    } catch (cause) {
      throw new OptionError(
        `Cannot use these as "${name}": ${errorText(cause)}`,
        { cause },
      );
    }
  },
};

const MANAGEMENT_URL: OptionReader<string> = {
  fromObject(name, value) {
    if (typeof value === "string" && placeOf(value) !== undefined) return value;
    // Not what was given: there may be a password in it.
    throw new OptionError(
      `Cannot use this as "${name}": it must be a URL of http or https, as "http://localhost:15672"`,
    );
  },
};

function placeOf(url: string): ManagementPlace | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, host, pathname, username, password } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") return undefined;
  return {
    base: `${protocol}//${host}${pathname.replace(/\/+$/, "")}`,
    username: username === "" ? undefined : decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
}

/** How they are read. */
export const AMQP_OPTIONS: OptionReaders<AmqpTransportOptions> = {
  // RabbitMQ 4.1 refuses less than 8192; AMQP itself allows 4096.
  frameMax: integerOption("frame_max", 0, 2 ** 31 - 1),
  channelMax: integerOption("channel_max", 0, 65_535),
  loginMethod: wordOption("login_method", ["PLAIN", "EXTERNAL"] as const),
  clientProperties: CLIENT_PROPERTIES,
  managementUrl: MANAGEMENT_URL,
};

/**
 * Puts together what a client needs.
 *
 * @param url The URL, its defaults filled in.
 * @param options The options of the connection.
 * @param own The transport's own options, as read.
 * @returns The options to dial with, without the password.
 */
export function dialOptions(
  url: BrokerUrl,
  options: ConnectOptions,
  own: AmqpTransportOptions,
): DialOptions {
  const tls = readTls(options.tls, url.scheme === "amqps");
  return {
    hostname: url.hostname ?? "localhost",
    port: url.port ?? (tls === undefined ? 5672 : 5671),
    username: url.username ?? "guest",
    virtualHost: url.virtualHost ?? "/",
    tls,
    heartbeat: Math.ceil(options.heartbeat / 1000),
    frameMax: own.frameMax ?? 0,
    channelMax: own.channelMax ?? 0,
    loginMethod: own.loginMethod ?? "PLAIN",
    clientProperties: {
      product: "Dashi",
      information: "https://jsr.io/@dashi/mq",
      ...(options.name === undefined ? {} : { connection_name: options.name }),
      ...own.clientProperties,
    },
    management: own.managementUrl === undefined
      ? undefined
      : placeOf(own.managementUrl),
    maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
  };
}

function isTable(value: unknown): value is FieldTable {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
