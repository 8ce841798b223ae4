import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import { findTransport, knownTransport } from "../../transports/load.ts";
import type { Transport } from "../../transports/transport.ts";
import type { BrokerUrl, UrlDefaults } from "../../url/broker_url.ts";
import {
  fillDefaults,
  formatUrl,
  type FormatUrlOptions,
  parseUrlList,
  readSharedQuery,
  type TlsFile,
} from "../../url/mod.ts";
import {
  checkHeartbeat,
  type ConnectionOptions,
  DEFAULTS,
} from "./connection_options.ts";
import type { ReadFile } from "./tls_files.ts";
import { chooseTls, meansTls } from "./tls_choice.ts";
import type { UrlInput } from "./url_input.ts";
import { type StandIn, standInOf } from "./stand_ins.ts";
import { TransportLoader } from "./transport_loader.ts";

/** A broker to connect to: one URL with all that goes with it, and nothing of the others. */
export interface Endpoint {
  /** The URL, complete: missing parts are filled in. */
  readonly url: BrokerUrl;
  /** Whether it has to be filled in when the transport is imported, which has the defaults. */
  readonly isFilledLater: boolean;
  /** The transport's name. */
  readonly transport: string;
  /** Asked before each connect, where the password is a function. */
  readonly password: (() => string | Promise<string>) | undefined;
  /** The last passwords that the function has given: no error text may show them. */
  readonly passwordsGiven: readonly string[];
  readonly tls: boolean | TlsOptions | undefined;
  /** The parts of it that are in files, read before each connect. */
  readonly tlsFiles: readonly TlsFile[];
  readonly readFile: ReadFile | undefined;
  readonly connectTimeout: number;
  readonly operationTimeout: number;
  readonly heartbeat: number;
  readonly maxResponseSize: number;
  readonly transportOptions: Readonly<Record<string, unknown>>;
  /** Imports the transport. */
  readonly loader: TransportLoader;
  /** The broker of a test that the URL leads to. */
  readonly standIn: StandIn | undefined;
}

/** So many passwords that a function gave are kept from being shown: tokens change by the hour. */
const MAX_GIVEN = 4;

/** The source of a transport. */
interface Source {
  readonly name: string;
  readonly scheme: string;
  /** The name that implies TLS, if its defaults say that TLS is spoken: the URL's scheme, or the transport that was named. */
  readonly secure: string;
  readonly defaults: UrlDefaults;
  /** Whether the transport itself, once it is imported, has the defaults. */
  readonly isFilledLater?: boolean;
  load(): Promise<Transport>;
}

/**
 * Reads the URLs and options of a connection into its endpoints, in order.
 *
 * @param input URLs, as `createConnection` takes them.
 * @param options Options beside the URLs.
 * @returns One endpoint for each URL; at least one.
 * @throws {SyntaxError} If one is no URL.
 * @throws {TransportError} If a scheme is unknown.
 * @throws {OptionError} If an option is unknown or bad.
 */
export function readEndpoints(
  input: UrlInput,
  options: ConnectionOptions,
): readonly Endpoint[] {
  const { transport } = options;
  const urls = parseUrlList(input, {
    scheme: typeof transport === "string"
      ? knownTransport(transport)?.scheme ?? transport
      : "amqp",
    severalHosts: (scheme) =>
      sourceOf(scheme, options).defaults.severalHosts ?? false,
    sharesFirst: (scheme) =>
      sourceOf(scheme, options).defaults.sharesFirst ?? false,
  });
  return urls.map((url) => readEndpoint(url, options));
}

function readEndpoint(parsed: BrokerUrl, options: ConnectionOptions): Endpoint {
  const { readFile } = options;
  const { shared, rest } = readSharedQuery(parsed, {
    readsFiles: readFile !== undefined,
  });
  const source = sourceOf(rest.scheme, options);
  const tls = chooseTls({
    scheme: source.defaults.tls ? source.secure : undefined,
    url: shared.ssl,
    option: options.tls,
  });
  checkParts(options);
  const password = rest.password ?? options.password;
  const url = fillDefaults(
    {
      ...rest,
      scheme: source.scheme,
      ...hostsOf(rest, options),
      username: rest.username ?? options.username,
      password: typeof password === "function" ? undefined : password,
      virtualHost: rest.virtualHost ?? options.virtualHost,
    },
    typeof password === "function"
      ? { ...source.defaults, password: undefined }
      : source.defaults,
    { tls: tls !== undefined && tls !== false },
  );
  const heartbeat = shared.heartbeat ?? options.heartbeat ?? DEFAULTS.heartbeat;
  checkHeartbeat(heartbeat);
  const passwordsGiven: string[] = [];
  const standIn = options.transport === undefined ? standInOf(url) : undefined;
  const load = standIn === undefined
    ? source.load
    : () => Promise.resolve(standIn.transport);
  return {
    url,
    isFilledLater: source.isFilledLater ?? false,
    transport: source.name,
    password: typeof password === "function"
      ? asking(password, passwordsGiven)
      : undefined,
    passwordsGiven,
    tls,
    tlsFiles: shared.tlsFiles ?? [],
    readFile,
    connectTimeout: inTimers(
      shared.connectTimeout ?? options.connectTimeout ??
        DEFAULTS.connectTimeout,
    ),
    operationTimeout: inTimers(
      options.operationTimeout ?? DEFAULTS.operationTimeout,
    ),
    maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
    // The clock of a test says nothing of the event loop, which is looked at by it.
    heartbeat: standIn === undefined ? heartbeat : Infinity,
    transportOptions: shared.loginMethod === undefined
      ? options.transportOptions ?? {}
      : { loginMethod: shared.loginMethod, ...options.transportOptions },
    loader: new TransportLoader(source.name, load),
    standIn,
  };
}

/** Brokers' clients set timers of the platform, and one of more than 2^31 - 1 ms fires at once. */
function inTimers(timeout: number): number {
  return Math.min(timeout, 2_147_483_647);
}

/**
 * Formats an endpoint's URL.
 *
 * @param endpoint The endpoint.
 * @param options Whether to show the password, and what to show instead.
 * @returns The URL; without the password unless asked for.
 */
export function formatEndpoint(
  endpoint: Endpoint,
  options?: FormatUrlOptions,
): string {
  return formatUrl(endpoint.url, options);
}

function sourceOf(scheme: string, options: ConnectionOptions): Source {
  const known = knownTransport(scheme);
  const source = chosen(scheme, options);
  if (known === undefined) return source;
  // Whichever transport carries it: what the URL's scheme says of TLS holds.
  const { tls = known.defaults.tls } = source.defaults;
  const secure = known.defaults.tls ? scheme : source.secure;
  return {
    ...source,
    secure,
    scheme: known.name === source.name ? known.scheme : source.scheme,
    defaults: { ...source.defaults, tls },
  };
}

function chosen(scheme: string, { transport }: ConnectionOptions): Source {
  switch (typeof transport) {
    case "object":
      return {
        name: transport.name,
        // As it stands in the URL, for it may say more: the author's scheme for TLS.
        scheme: knownTransport(scheme) === undefined ? scheme : transport.name,
        secure: transport.defaults?.tls ? transport.name : scheme,
        defaults: { ...transport.defaults, tls: meansTls(scheme, transport) },
        load: () => Promise.resolve(transport),
      };
    case "function":
      return {
        name: scheme,
        scheme,
        secure: scheme,
        defaults: {},
        isFilledLater: knownTransport(scheme) === undefined,
        load: async () => (await transport()).createTransport(),
      };
    default: {
      const known = knownTransport(scheme);
      const named = findTransport(transport ?? scheme);
      // `wss` says more of a transport than its name does.
      const row = known?.name === named.name ? known : named;
      // A transport by a name that means TLS speaks it, whatever the URL's scheme.
      const { tls = named.defaults.tls } = row.defaults;
      return {
        name: row.name,
        scheme: row.scheme,
        secure: transport ?? scheme,
        defaults: { ...row.defaults, tls },
        load: async () => (await row.load()).createTransport(),
      };
    }
  }
}

function hostsOf(
  url: BrokerUrl,
  options: ConnectionOptions,
): Pick<BrokerUrl, "hosts" | "hostname" | "port"> {
  const hosts = url.hosts.map(({ hostname, port }) => ({
    hostname: hostname ?? options.hostname,
    port: port ?? options.port,
  }));
  return {
    hosts,
    hostname: url.hostname ?? options.hostname,
    port: url.port ?? options.port,
  };
}

/** Refuses a value of a wrong type, and does not show it: it may be a secret. */
function checkParts(options: ConnectionOptions): void {
  for (const name of ["hostname", "username", "virtualHost"] as const) {
    const value: unknown = options[name];
    if (value === undefined || typeof value === "string") continue;
    throw wrongType(name, value, "a string");
  }
  const { port } = options;
  const password: unknown = options.password;
  if (
    password !== undefined && typeof password !== "string" &&
    typeof password !== "function"
  ) {
    throw wrongType(
      "password",
      password,
      "a string, or a function that gives one",
    );
  }
  if (port === undefined) return;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new OptionError(
      `Cannot use ${
        quote(port)
      } as "port": it must be a whole number from 0 to 65535`,
    );
  }
}

function asking(
  password: () => string | Promise<string>,
  answers: string[],
): () => Promise<string> {
  return async () => {
    const given: unknown = await password();
    if (typeof given === "string") {
      if (!answers.includes(given)) answers.push(given);
      if (answers.length > MAX_GIVEN) answers.shift();
      return given;
    }
    throw wrongType("password", given, "a string that its function gives");
  };
}

function wrongType(name: string, value: unknown, right: string): OptionError {
  return new OptionError(
    `Cannot use a value of type ${
      value === null ? "null" : typeof value
    } as "${name}": it must be ${right}`,
  );
}
