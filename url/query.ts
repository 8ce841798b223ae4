import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import type { TlsOptions } from "../model/tls_options.ts";
import type { BrokerUrl } from "./broker_url.ts";

/** The parameters of a URL's query that all transports share: Kombu's names there, ours here. */
export interface SharedOptions {
  /** `ssl`, and the `ssl_…` that go with it. */
  readonly ssl?: boolean | TlsOptions | undefined;
  /** `heartbeat`: seconds there, ms here. */
  readonly heartbeat?: number | undefined;
  /** `connect_timeout`: seconds there, ms here. */
  readonly connectTimeout?: number | undefined;
  /** `login_method`, such as `PLAIN`. */
  readonly loginMethod?: string | undefined;
  /** `ssl_ca_certs` and its kin, where somebody reads files. */
  readonly tlsFiles?: readonly TlsFile[] | undefined;
  /** `insist`, which has no effect. */
  readonly insist?: boolean | undefined;
}

/** A file that a URL names for TLS. */
export interface TlsFile {
  /** The parameter: `ssl_ca_certs`, `ssl_certfile` or `ssl_keyfile`. */
  readonly name: string;
  /** The option that takes its text. */
  readonly option: "ca" | "cert" | "key";
  /** The path of the file. */
  readonly path: string;
}

type Reader = (name: string, value: string) => Partial<SharedOptions>;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["heartbeat", (name, value) => ({ heartbeat: readSeconds(name, value) })],
  ["connect_timeout", (name, value) => ({
    connectTimeout: readSeconds(name, value, true),
  })],
  ["login_method", (_, value) => ({ loginMethod: value })],
  ["insist", (name, value) => ({ insist: readBoolean(name, value) })],
]);

type TlsReader = (name: string, value: string) => TlsOptions;

const TLS_READERS: ReadonlyMap<string, TlsReader> = new Map<string, TlsReader>([
  ["ssl_check_hostname", (name, value) => ({
    checkHostname: readBoolean(name, value),
  })],
  ["ssl_cert_reqs", (name, value) => ({ verify: readCertReqs(name, value) })],
  ["ssl_server_hostname", (_, value) => ({ servername: value })],
]);

/** Kombu's names for files; the option that takes their text here. */
const TLS_FILES: ReadonlyMap<string, TlsFile["option"]> = new Map([
  ["ssl_ca_certs", "ca"],
  ["ssl_certfile", "cert"],
  ["ssl_keyfile", "key"],
]);

/** PostgreSQL's own name of `ssl`, which its hosts write into the URLs that they give. */
const SSL_MODES: ReadonlyMap<string, boolean> = new Map([
  ["disable", false],
  ["require", true],
  ["verify-ca", true],
  ["verify-full", true],
]);

/** Parts of a URL that have a place of their own: in the query they would be said twice. */
const PARTS: ReadonlySet<string> = new Set([
  "transport",
  "hostname",
  "port",
  "userid",
  "username",
  "password",
  "virtual_host",
]);

/** Names that {@linkcode readSharedQuery} takes, for suggestions of a name. */
export const SHARED_NAMES: readonly string[] = [
  "ssl",
  ...READERS.keys(),
  ...TLS_READERS.keys(),
];

/**
 * Reads what a URL's query says on any transport, and leaves the rest for its own.
 *
 * @param url The URL.
 * @param options Whether the files that it names are read; else they are refused.
 * @returns The options, and the URL without them.
 * @throws {OptionError} If a value is bad, or says what another part of the URL says.
 *
 * @example A heartbeat, and what is left for the transport
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseUrl, readSharedQuery } from "@dashi/mq/url";
 *
 * const url = parseUrl("redis://localhost?heartbeat=5&sep=:");
 * const { shared, rest } = readSharedQuery(url);
 * assertEquals(shared.heartbeat, 5000); // ms
 * assertEquals(rest.query, { sep: ":" });
 * ```
 */
export function readSharedQuery(
  url: BrokerUrl,
  options: { readonly readsFiles?: boolean | undefined } = {},
): { readonly shared: SharedOptions; readonly rest: BrokerUrl } {
  let shared: SharedOptions = {};
  let tls: TlsOptions | undefined;
  let ssl: boolean | undefined;
  const query: [string, string][] = [];
  const tlsFiles: TlsFile[] = [];
  for (const [name, value] of Object.entries(url.query)) {
    // Of a Unix socket's URL the path is the socket's.
    if (name === "virtual_host" && url.scheme.endsWith("+socket")) {
      query.push([name, value]);
      continue;
    }
    const option = TLS_FILES.get(name);
    if (option !== undefined && options.readsFiles) {
      tlsFiles.push({ name, option, path: value });
      continue;
    }
    refuseMisplaced(name);
    const read = READERS.get(name);
    const readTls = TLS_READERS.get(name);
    if (name === "ssl") ssl = agreed(ssl, readBoolean(name, value));
    else if (name === "sslmode" && isOfPostgres(url)) {
      ssl = agreed(ssl, readSslMode(value));
    } else if (read !== undefined) shared = { ...shared, ...read(name, value) };
    else if (readTls !== undefined) tls = { ...tls, ...readTls(name, value) };
    else query.push([name, value]);
  }
  if (tlsFiles.length > 0) {
    tls = { ...tls };
    shared = { ...shared, tlsFiles };
  }
  if (ssl === false && tls !== undefined) {
    throw bad("ssl", "0", `something else beside "ssl_…", or those left out`);
  }
  const given = tls ?? ssl;
  return {
    shared: given === undefined ? shared : { ...shared, ssl: given },
    rest: { ...url, query: Object.fromEntries(query) },
  };
}

function isOfPostgres({ scheme }: BrokerUrl): boolean {
  return scheme === "postgres" || scheme === "postgresql";
}

/** Where TLS is spoken the server is verified: what goes on without is not taken for it. */
function readSslMode(value: string): boolean {
  const mode = SSL_MODES.get(value);
  if (mode !== undefined) return mode;
  throw bad("sslmode", value, "disable, require, verify-ca or verify-full");
}

function agreed(one: boolean | undefined, other: boolean): boolean {
  if (one === undefined || one === other) return other;
  throw new OptionError(
    'Cannot tell whether to speak TLS: "ssl" and "sslmode" of the URL contradict each other; take one of them away',
  );
}

function refuseMisplaced(name: string): void {
  if (PARTS.has(name)) {
    throw new OptionError(
      `Cannot use "${name}" as a parameter of a URL: it has a place in the URL itself, transport://username:password@hostname:port/virtual_host`,
    );
  }
  const file = TLS_FILES.get(name);
  if (file !== undefined) {
    throw new OptionError(
      `Cannot use "${name}" as a parameter of a URL: it names a file, and this library reads none; give createConnection "readFile", as (path) => readFile(path, "utf8"), or its text as the option tls: { ${file}: "…" }`,
    );
  }
}

/**
 * Reads a boolean of a URL.
 *
 * @param name The parameter's name, for the error.
 * @param value Its value.
 * @returns The boolean.
 * @throws {OptionError} If it is none.
 */
export function readBoolean(name: string, value: string): boolean {
  switch (value.toLowerCase()) {
    case "1":
    case "true":
    case "yes":
    case "on":
      return true;
    case "0":
    case "false":
    case "no":
    case "off":
      return false;
  }
  throw bad(name, value, "1, true, yes, on, 0, false, no or off");
}

/**
 * Reads a duration of a URL, in seconds.
 *
 * @param name The parameter's name, for the error.
 * @param value Its value.
 * @param positive Whether 0 is refused.
 * @returns Milliseconds.
 * @throws {OptionError} If it is no number of 0 or more.
 */
export function readSeconds(
  name: string,
  value: string,
  positive = false,
): number {
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
  if (Number.isNaN(seconds) || (positive && seconds === 0)) {
    throw bad(name, value, "a number of seconds");
  }
  return seconds * 1000;
}

function readCertReqs(name: string, value: string): boolean {
  switch (value.toLowerCase().replace(/^cert_/, "")) {
    case "required":
      return true;
    case "none":
      return false;
  }
  throw bad(name, value, "required or none");
}

function bad(name: string, value: string, right: string): OptionError {
  return new OptionError(
    `Cannot use ${quote(value)} as "${name}" in a URL: it must be ${right}`,
  );
}
