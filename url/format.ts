import type { BrokerUrl } from "./broker_url.ts";
import { isOfFile } from "./parse.ts";
import { tokenIn } from "./token.ts";

/** Options of {@linkcode formatUrl}. */
export interface FormatUrlOptions {
  /** Whether the password is shown, and the query, which may hold secrets too. @default {false} */
  readonly includePassword?: boolean | undefined;
  /** The text in the password's place. @default {"**"} */
  readonly mask?: string | undefined;
}

/**
 * Formats a URL. Without `includePassword` it is for people: the mask stands where
 * a user's password would, whether he has one or not, so that the text does not tell,
 * or his token of NATS, and the query is left out. With it, parsing the text gives the same URL again.
 *
 * @param url The URL's parts.
 * @param options Whether to show the password.
 * @returns The text.
 *
 * @example For a log
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatUrl, parseUrl } from "@dashi/mq/url";
 *
 * const url = parseUrl("amqp://user:secret@host/v");
 * assertEquals(formatUrl(url), "amqp://user:**@host/v");
 * ```
 */
export function formatUrl(
  url: BrokerUrl,
  options: FormatUrlOptions = {},
): string {
  const { includePassword = false, mask = "**" } = options;
  const password = includePassword ? encode(url.password ?? "") : mask;
  const username = encode(url.username ?? "");
  const nobody = username === "" && (url.password ?? "") === "";
  const userinfo = nobody || (username === "" && password === "")
    ? ""
    : !includePassword && tokenIn(url) !== undefined
    ? `${mask}@`
    : `${username}${password === "" ? "" : `:${password}`}@`;
  const hosts = url.hosts.map(({ hostname, port }) =>
    formatHost(hostname ?? "", port)
  ).join(",");
  const virtualHost = encode(url.virtualHost ?? "").replaceAll("%2F", "/");
  const query = includePassword ? formatQuery(url.query) : "";
  if (userinfo === "" && hosts === "" && isOfFile(url.scheme)) {
    return `${url.scheme}:${virtualHost.replaceAll("%3A", ":")}${query}`;
  }
  return `${url.scheme}://${userinfo}${hosts}/${virtualHost}${query}`;
}

/**
 * Writes a host as it stands in a URL.
 *
 * @param hostname The name or address, without brackets.
 * @param port The port, if it is to be there.
 * @returns The text: an IPv6 address in brackets.
 *
 * @example An address of IPv6
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatHost } from "@dashi/mq/url";
 *
 * assertEquals(formatHost("::1", 5672), "[::1]:5672");
 * ```
 */
export function formatHost(hostname: string, port?: number): string {
  const host = hostname.includes(":") ? `[${hostname}]` : encode(hostname);
  return port === undefined ? host : `${host}:${port}`;
}

function formatQuery(query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return text === "" ? "" : `?${text}`;
}

/** Percent-encodes all but letters, digits and `-._~`. */
function encode(text: string): string {
  // A URL is written into errors, too, and must not be one.
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
