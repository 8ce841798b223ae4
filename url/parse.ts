import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import type { BrokerHost, BrokerUrl } from "./broker_url.ts";

/** Options of {@linkcode parseUrl}. */
export interface ParseUrlOptions {
  /** Whether several hosts may stand in the URL, separated by commas. @default {false} */
  readonly severalHosts?: boolean | undefined;
  /** Whether the path is a file's, in which an `@` says nothing. @default {false} */
  readonly isFile?: boolean | undefined;
}

/** A letter, then letters, digits, `+`, `-`, `.`; and the rest behind `://`. */
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is;

/** A scheme whose URLs name a file, behind nothing but a colon. */
const FILE = /^(sqlite):(?!\/\/)/i;

/**
 * Says whether URLs of a scheme name a file: `sqlite:./orders.db`.
 *
 * @param scheme The scheme.
 * @returns Whether they do.
 */
export function isOfFile(scheme: string): boolean {
  return FILE.test(`${scheme}:`);
}

/**
 * Writes the URL of a file as other URLs are written: its host is empty.
 *
 * @param text Any URL.
 * @returns The URL: `sqlite:///./orders.db` for `sqlite:./orders.db`; another as it is.
 */
export function withSlashes(text: string): string {
  return text.replace(FILE, "$1:///");
}

/**
 * Parses a broker's URL: `scheme://username:password@hostname:port/virtual-host?name=value`.
 *
 * Every part but the scheme may be missing and is then `undefined`. User, password,
 * host and virtual host are percent-decoded. The user ends at the first `:`, the
 * password at the last `@`. Of the path exactly one leading slash is taken away, so
 * `amqp://host//a` has the virtual host `/a`. A fragment is ignored.
 *
 * The platform's own URL class is not used: it refuses or rewrites much of what
 * such URLs may say, as in `sqs://KEY:SECRET@`, `amqp://user@/`, or `..` in a
 * virtual host.
 *
 * @param text The URL.
 * @param options Whether several hosts are allowed.
 * @returns Its parts.
 * @throws {SyntaxError} If it is no such URL. The error never shows the password.
 * @throws {OptionError} If a parameter about TLS has no value, or two.
 *
 * @example The parts of a URL
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseUrl } from "@dashi/mq/url";
 *
 * const url = parseUrl("amqp://user:p%40ss@host:10000/v%2Fhost");
 * assertEquals(url.password, "p@ss");
 * assertEquals(url.virtualHost, "v/host");
 * ```
 */
export function parseUrl(
  text: string,
  options: ParseUrlOptions = {},
): BrokerUrl {
  const match = SCHEME.exec(withSlashes(text));
  const [, scheme, rest] = match ?? [];
  if (scheme === undefined || rest === undefined) {
    throw new SyntaxError(
      `Cannot parse a URL that does not begin with a scheme: it should be like "amqp://user:password@host:5672/virtual-host"`,
    );
  }
  const isFile = /\+socket$/i.test(scheme) || isOfFile(scheme);
  return {
    scheme: scheme.toLowerCase(),
    ...parseRest(rest, { isFile, ...options }),
  };
}

/**
 * Parses the part behind the scheme.
 *
 * @param rest The URL without `scheme://`.
 * @param options Whether several hosts are allowed.
 * @returns All parts but the scheme.
 * @throws {SyntaxError} If it is malformed.
 */
export function parseRest(
  rest: string,
  options: ParseUrlOptions = {},
): Omit<BrokerUrl, "scheme"> {
  const end = rest.search(/[/?#]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  const tail = end < 0 ? "" : rest.slice(end);
  const at = authority.lastIndexOf("@");
  const userinfo = at < 0 ? "" : authority.slice(0, at);
  const colon = userinfo.indexOf(":");
  if (options.isFile !== true) refuseSecret(tail);
  const hosts = parseHosts(authority.slice(at + 1), options);
  const [first = NO_HOST] = hosts;
  const [beforeFragment = ""] = tail.split("#", 1);
  const question = beforeFragment.indexOf("?");
  const path = question < 0
    ? beforeFragment
    : beforeFragment.slice(0, question);
  const query = question < 0 ? "" : beforeFragment.slice(question + 1);
  return {
    username: decode(colon < 0 ? userinfo : userinfo.slice(0, colon), "user"),
    password: decode(colon < 0 ? "" : userinfo.slice(colon + 1), "password"),
    hosts,
    hostname: first.hostname,
    port: first.port,
    virtualHost: decode(path.replace(/^\//, ""), "virtual host"),
    query: parseQuery(query),
  };
}

const NO_HOST: BrokerHost = { hostname: undefined, port: undefined };

/**
 * Refuses an "@" behind the authority: a "/", "?" or "#" of the user or the password has
 * ended the authority too early, or the "//" before it is missing. A part of the secret is
 * taken for a host, a path or a parameter then, and another server is dialled.
 */
function refuseSecret(tail: string): void {
  const at = tail.indexOf("@");
  if (at < 0) return;
  const query = tail.indexOf("?");
  const isValue = tail.startsWith("/") && query >= 0 && query < at &&
    /[?&][^&@]*=[^&]*$/.test(tail.slice(query, at));
  if (isValue) return;
  const sign = tail.slice(0, 1);
  throw new SyntaxError(
    `Cannot parse a URL with "${sign}" in its user or password: write it as "${
      encodeURIComponent(sign)
    }", and an "@" in a virtual host as "%40"; a scheme ends with "://"`,
  );
}

/*
 * No error shows what stands where hosts and ports do: where something is missing or not
 * encoded, it is a password, or the beginning of one.
 */

function parseHosts(
  text: string,
  { severalHosts = false }: ParseUrlOptions,
): readonly BrokerHost[] {
  if (!severalHosts && text.includes(",")) {
    throw new SyntaxError(
      `Cannot parse a URL with "," where its host is: this transport takes one host a URL; join several URLs with ";", and write a "," of a password as "%2C"`,
    );
  }
  return text.split(",").map(parseHost);
}

function parseHost(text: string): BrokerHost {
  const bracket = text.startsWith("[") ? text.indexOf("]") : -1;
  if (text.startsWith("[") && bracket < 0) {
    throw new SyntaxError(
      `Cannot parse the host of a URL: the "[" of an IPv6 address needs a "]"`,
    );
  }
  const colon = text.indexOf(":", bracket + 1);
  const hostname = bracket >= 0
    ? text.slice(1, bracket)
    : colon < 0
    ? text
    : text.slice(0, colon);
  if (bracket >= 0 && colon !== bracket + 1 && bracket + 1 < text.length) {
    throw new SyntaxError(
      `Cannot parse the host of a URL: after the "]" only ":" and a port may follow`,
    );
  }
  if (bracket >= 0 && !hostname.includes(":")) {
    throw new SyntaxError(
      `Cannot parse the host of a URL: between "[" and "]" stands an IPv6 address, such as "[::1]"`,
    );
  }
  return {
    hostname: decode(hostname.toLowerCase(), "host"),
    port: colon < 0 ? undefined : parsePort(text.slice(colon + 1)),
  };
}

function parsePort(text: string): number | undefined {
  if (text === "") return undefined;
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new SyntaxError(
    `Cannot parse the port of a URL: it must be a whole number from 0 to 65535; if it is the beginning of a password, percent-encode what is in it, ";" as "%3B"; a scheme ends with "://"`,
  );
}

/**
 * Says whether a text can be a scheme.
 *
 * @param text The text.
 * @returns Whether it can.
 */
export function isScheme(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*$/i.test(text);
}

/**
 * Says whether a parameter says whether, or how, TLS is spoken, on any transport.
 *
 * @param name The parameter's name.
 * @returns Whether it does.
 */
export function isOfTls(name: string): boolean {
  return /^(?:ssl|tls|is_?secure)/i.test(name);
}

function parseQuery(text: string): Readonly<Record<string, string>> {
  const query: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(text)) {
    if (isOfTls(name)) checkTlsParameter(name, value, query);
    if (value === "") continue;
    // A property of its own, whatever its name: `__proto__` is no exception.
    Object.defineProperty(query, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return query;
}

/** A variable that is not set, or a second word, must not turn TLS off. */
function checkTlsParameter(
  name: string,
  value: string,
  before: Readonly<Record<string, string>>,
): void {
  const problem = value === ""
    ? "it has no value; give it one, or leave it out"
    : Object.hasOwn(before, name) && before[name] !== value
    ? "it stands there twice, with different values; take one of them away"
    : undefined;
  if (problem === undefined) return;
  throw new OptionError(
    `Cannot use the parameter ${quote(name)} of a URL: ${problem}`,
  );
}

function decode(text: string, part: string): string | undefined {
  if (text === "") return undefined;
  if (!text.isWellFormed()) {
    throw new SyntaxError(
      `Cannot decode the ${part} of a URL: half of a surrogate pair has no form in UTF-8`,
    );
  }
  try {
    return decodeURIComponent(text);
  } catch {
    throw new SyntaxError(
      `Cannot decode the ${part} of a URL: a "%" must be followed by two hexadecimal digits of UTF-8; write "%" itself as "%25"`,
    );
  }
}
