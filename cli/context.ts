import { type Connection, createConnection } from "../mod.ts";
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
  /** Seconds that a call takes at most. */
  readonly timeout?: number | undefined;
}

/** What a command works with. */
export interface Context {
  readonly terminal: Terminal;
  readonly output: Output;
  readonly connection: Connection;
}

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
  const url = await urlOf(terminal, options);
  const milliseconds = options.timeout === undefined ? {} : {
    connectTimeout: options.timeout * 1000,
    operationTimeout: options.timeout * 1000,
  };
  const settings = {
    name: "dashi",
    // Of a program that does one thing: who called it may call it again.
    reconnect: false as const,
    onUnhandled: () => {},
    readFile: async (path: string) =>
      new TextDecoder().decode(await terminal.read(path)),
    ...milliseconds,
  };
  const managementUrl = terminal.variable("DASHI_MANAGEMENT_URL") || undefined;
  const plain = createConnection(url, settings);
  // It is set for RabbitMQ, and another broker's URL may be used meanwhile.
  const connection = managementUrl !== undefined &&
      plain.info().transport.startsWith("amqp")
    ? plain.clone({ transportOptions: { managementUrl } })
    : plain;
  try {
    const output = new Output(terminal, options.json ?? false);
    return await command({ terminal, output, connection });
  } finally {
    await connection.close();
  }
}

/** Others on the machine read the arguments of a process: a password is in a variable or a file. */
async function urlOf(
  terminal: Terminal,
  { url, urlFile }: GlobalOptions,
): Promise<string> {
  if (url !== undefined && urlFile !== undefined) {
    throw new UsageError("--url and --url-file are two URLs: give one of them");
  }
  if (urlFile !== undefined) {
    const text = new TextDecoder().decode(await readUrlFile(terminal, urlFile));
    if (text.trim() === "") {
      throw new UsageError(`the file "${urlFile}" is empty: put the URL in it`);
    }
    return text.trim();
  }
  if (url !== undefined) {
    if (
      /\/\/[^/?#]*:[^/?#]*@|[?&;][^=&]*(?:password|secret|token)[^=&]*=/i.test(
        url,
      )
    ) {
      throw new UsageError(
        "others can read a password in an argument: put the URL into the variable DASHI_URL, or into a file for --url-file",
      );
    }
    return url;
  }
  const variable = terminal.variable("DASHI_URL");
  if (variable !== undefined && variable !== "") return variable;
  throw new UsageError(
    "there is no URL: set DASHI_URL, as to amqp://guest:guest@localhost//, or give --url-file FILE, or --url URL without a password",
  );
}

async function readUrlFile(
  terminal: Terminal,
  path: string,
): Promise<Uint8Array> {
  try {
    return await terminal.read(path);
  } catch {
    throw new UsageError(`the file "${path}" of --url-file cannot be read`);
  }
}
