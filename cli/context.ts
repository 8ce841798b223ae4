import {
  type Connection,
  createConnection,
  type MiddlewareInput,
} from "../mod.ts";
import { lineOf } from "./advice.ts";
import { Output } from "./output.ts";
import { type Terminal, UsageError } from "./terminal.ts";

/** The options of all commands. */
export interface GlobalOptions {
  /** The broker's URL, without a password. */
  readonly url?: string | undefined;
  /** A file with the URL. */
  readonly urlFile?: string | undefined;
  /** JSON on a terminal, too. */
  readonly json?: boolean | undefined;
  /** A module that exports the middlewares by which messages are read. */
  readonly module?: string | undefined;
  /** Seconds that a call takes at most. */
  readonly timeout?: number | undefined;
}

/** What a command works with. */
export interface Context {
  readonly terminal: Terminal;
  readonly output: Output;
  readonly connection: Connection;
}

/** Where the URL of a broker is looked for. */
interface UrlPlace {
  /** The option with a URL that has no password. */
  readonly option: string;
  /** The option with a file's name. */
  readonly fileOption: string;
  readonly variable: string;
}

const SOURCE: UrlPlace = {
  option: "--url",
  fileOption: "--url-file",
  variable: "DASHI_URL",
};

const TARGET: UrlPlace = {
  option: "--to-url",
  fileOption: "--to-url-file",
  variable: "DASHI_TO_URL",
};

/**
 * Runs a command on a connection, and closes it.
 *
 * @param terminal The terminal.
 * @param options The options of all commands.
 * @param command The command.
 * @returns The code to end with.
 * @throws {UsageError} If there is no URL, or a password in an argument.
 */
export async function withContext(
  terminal: Terminal,
  options: GlobalOptions,
  command: (context: Context) => Promise<number>,
): Promise<number> {
  const connection = openConnection(
    terminal,
    await urlOf(terminal, options),
    options,
    terminal.variable("DASHI_MANAGEMENT_URL"),
  );
  try {
    for (const each of await middlewaresOf(terminal, options)) {
      connection.use(each);
    }
    const output = new Output(terminal, options.json ?? false);
    return await command({ terminal, output, connection });
  } finally {
    await connection.close();
  }
}

/**
 * Makes a connection to the broker that messages go to, if it is another one.
 *
 * @param terminal The terminal.
 * @param options The options of all commands, with the URL of that broker or its file.
 * @returns The connection, which the caller closes; `undefined` if no URL is given.
 * @throws {UsageError} If there is a password in an argument, or a file cannot be read.
 */
export async function targetConnection(
  terminal: Terminal,
  options: GlobalOptions,
): Promise<Connection | undefined> {
  const url = await urlIn(terminal, options, TARGET);
  const managementUrl = terminal.variable("DASHI_TO_MANAGEMENT_URL");
  return url === undefined
    ? undefined
    : openConnection(terminal, url, options, managementUrl);
}

/**
 * Makes a connection of a program that a person waits for.
 *
 * @param terminal The terminal.
 * @param url The broker's URL.
 * @param options The options of all commands.
 * @param managementUrl That of RabbitMQ's management API, if there is one.
 * @returns It, not connected.
 * @throws {UsageError} If the URL is none.
 */
export function openConnection(
  terminal: Terminal,
  url: string,
  { timeout }: GlobalOptions,
  managementUrl: string | undefined,
): Connection {
  const milliseconds = timeout === undefined ? {} : {
    connectTimeout: timeout * 1000,
    operationTimeout: timeout * 1000,
  };
  const options = {
    name: "dashi",
    // Who called it may call it again.
    reconnect: false as const,
    onUnhandled: () => {},
    readFile: async (path: string) =>
      new TextDecoder().decode(await terminal.read(path)),
    ...milliseconds,
  };
  let plain: Connection;
  try {
    plain = createConnection(url, options);
  } catch (error) {
    throw new UsageError(lineOf(error)); // a URL that is none
  }
  // It is set for RabbitMQ, and another broker's URL may be used meanwhile.
  return managementUrl && plain.info().transport.startsWith("amqp")
    ? plain.clone({ transportOptions: { managementUrl } })
    : plain;
}

/**
 * Reads the URLs of several brokers.
 *
 * @param terminal The terminal.
 * @param given Those in arguments.
 * @param options The options of all commands.
 * @returns Those in arguments; without any, those of the options or the variable, where
 *   spaces or line ends part them.
 * @throws {UsageError} If there is none, or a password in an argument.
 */
export async function urlsOf(
  terminal: Terminal,
  given: readonly string[],
  options: GlobalOptions,
): Promise<readonly string[]> {
  if (given.length === 0) {
    return (await urlOf(terminal, options)).trim().split(/\s+/);
  }
  if (options.url !== undefined || options.urlFile !== undefined) {
    throw new UsageError(
      "there are URLs behind the command, and in an option: give them in one place",
    );
  }
  for (const each of given) refusePassword(each);
  return given;
}

async function urlOf(
  terminal: Terminal,
  options: GlobalOptions,
): Promise<string> {
  const url = await urlIn(terminal, options, SOURCE);
  if (url !== undefined) return url;
  throw new UsageError(
    "there is no URL: set DASHI_URL, as to amqp://guest:guest@localhost//, or give --url-file FILE, or --url URL without a password",
  );
}

async function urlIn(
  terminal: Terminal,
  { url, urlFile }: Pick<GlobalOptions, "url" | "urlFile">,
  place: UrlPlace,
): Promise<string | undefined> {
  const { option, fileOption, variable } = place;
  if (url !== undefined && urlFile !== undefined) {
    throw new UsageError(
      `${option} and ${fileOption} are two URLs: give one of them`,
    );
  }
  if (urlFile !== undefined) {
    const bytes = await readUrlFile(terminal, urlFile, fileOption);
    const text = new TextDecoder().decode(bytes).trim();
    if (text !== "") return text;
    throw new UsageError(`the file "${urlFile}" is empty: put the URL in it`);
  }
  if (url === undefined) return terminal.variable(variable) || undefined;
  refusePassword(url, place);
  return url;
}

/** Others on the machine read the arguments of a process: a password is in a variable or a file. */
function refusePassword(
  url: string,
  { variable, fileOption }: UrlPlace = SOURCE,
): void {
  if (
    !/\/\/[^/?#]*:[^/?#]*@|\/\/[^?;,]*:[^?;,]*@|^(?:natss?|tls):\/\/[^/?]*@|[?&;][^=&]*(?:pass|secret|token)[^=&]*=/i
      .test(url)
  ) return;
  throw new UsageError(
    `others can read a password in an argument: put the URL into the variable ${variable}, or into a file for ${fileOption}`,
  );
}

/**
 * Imports the middlewares by which messages are read.
 *
 * @param terminal The terminal.
 * @param options The options of all commands.
 * @returns Those that its module exports; none without one.
 * @throws {UsageError} If it cannot be imported, or exports none.
 */
export async function middlewaresOf(
  terminal: Terminal,
  { module: path }: GlobalOptions,
): Promise<readonly MiddlewareInput[]> {
  if (path === undefined) return [];
  let loaded: { readonly default?: unknown };
  try {
    loaded = Object(await terminal.load?.(path));
  } catch (error) {
    throw new UsageError(
      `the module "${path}" of --module cannot be imported: ${lineOf(error)}`,
    );
  }
  const { default: exported } = loaded;
  if (Array.isArray(exported)) return exported;
  if (exported !== undefined) return [exported as MiddlewareInput];
  throw new UsageError(
    `the module "${path}" of --module has no default export: it must be a middleware, or a list of them`,
  );
}

async function readUrlFile(
  terminal: Terminal,
  path: string,
  option: string,
): Promise<Uint8Array> {
  try {
    return await terminal.read(path);
  } catch {
    throw new UsageError(`the file "${path}" of ${option} cannot be read`);
  }
}
