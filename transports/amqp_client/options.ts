import { OptionError } from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatHost } from "../../url/format.ts";
import {
  type OptionReaders,
  readOptions,
  stringOption,
} from "../../url/options.ts";
import {
  AMQP_OPTIONS,
  type AmqpTransportOptions,
  type DialOptions,
  dialOptions,
} from "../amqp_protocol/options.ts";
import type { ConnectOptions } from "../transport.ts";
import type { WebSocketPlace } from "./web_socket.ts";

/** The transport's own options, as `transportOptions` or in the URL. */
export interface AmqpClientTransportOptions extends AmqpTransportOptions {
  /** Of `ws://` and `wss://`: the path of the HTTP endpoint; in a URL `path`. @default {"/ws"} */
  readonly path?: string | undefined;
}

/** All that the client needs to dial. */
export interface ClientDialOptions extends DialOptions {
  /** The WebSocket's endpoint, where that is the way. */
  readonly webSocket: WebSocketPlace | undefined;
}

/** How they are read. */
export const AMQP_CLIENT_OPTIONS: OptionReaders<AmqpClientTransportOptions> = {
  ...AMQP_OPTIONS,
  path: stringOption("path"),
};

/**
 * Reads a URL and the options into what the client needs.
 *
 * @param url The URL, its defaults filled in.
 * @param options The options.
 * @returns The options to dial with, without the password.
 * @throws {OptionError} If an option is unknown or bad.
 */
export function readDialOptions(
  url: BrokerUrl,
  options: ConnectOptions,
): ClientDialOptions {
  const { path, ...own } = readOptions<AmqpClientTransportOptions>(
    AMQP_CLIENT_OPTIONS,
    { url, transportOptions: options.transportOptions },
  );
  const isWebSocket = url.scheme === "ws" || url.scheme === "wss";
  if (!isWebSocket && path !== undefined) {
    throw new OptionError(
      `Cannot use "path" with ${url.scheme}://: it is for ws:// and wss:// alone`,
    );
  }
  const tls = options.tls ?? (url.scheme === "wss" ? true : undefined);
  const dial = dialOptions(url, { ...options, tls }, own);
  if (!isWebSocket) return { ...dial, webSocket: undefined };
  const usual = dial.tls === undefined ? 80 : 443;
  const port = url.port ?? usual;
  const host = formatHost(dial.hostname, port === usual ? undefined : port);
  return { ...dial, port, webSocket: { host, path: pathOf(path ?? "/ws") } };
}

/** As a request's first line can carry it. */
function pathOf(path: string): string {
  const { pathname, search } = new URL(path, "http://host/");
  return pathname + search;
}
