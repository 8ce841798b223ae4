/** A server that is a program of this machine: started, watched while it starts, and ended. */

import { freePort } from "./ports.ts";
import type { LastingServer } from "./server.ts";

/** How many ports are tried. */
const MAX_TRIES = 3;
/** How long one question may take, ms. */
const MAX_ASKING = 2000;
/** How much of what a server said goes into an error, characters. */
const MAX_LAST_WORDS = 300;

/** How a program is started. */
export interface ProgramSettings {
  /** The name of the program, for people. */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** The file that takes what it prints. */
  readonly log: string;
  /** Further files that it writes its errors to. */
  readonly logs?: (() => readonly string[]) | undefined;
  /** Milliseconds that it may take to start. */
  readonly timeout: number;
  /** Asks whether it serves; an error counts as no. The signal ends the question. */
  isReady(signal: AbortSignal): Promise<boolean>;
}

/** It did not start. */
export class StartError extends Error {
  override readonly name: string = "StartError";
  /** Whether it ended by itself, as it does where its port is taken. */
  readonly ended: boolean;

  /** Says why, and what it last said. */
  constructor(message: string, ended: boolean) {
    super(message);
    this.ended = ended;
  }
}

/** A program that may be ended and started again. */
export class Program {
  readonly #settings: ProgramSettings;
  #child: Deno.ChildProcess | undefined;

  /** Makes one that is not started. */
  constructor(settings: ProgramSettings) {
    this.#settings = settings;
  }

  /** Its process, 0 if it has none. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /**
   * Starts it, and waits until it serves.
   *
   * @throws {StartError} At once if it ends, or if it does not serve in time. The text
   *   has the last of what it said.
   */
  async start(): Promise<void> {
    const { title, timeout, isReady } = this.#settings;
    const child = this.#child = this.#spawn();
    // Another program may answer on its port: the end of our own counts for more.
    let ended: number | undefined;
    let asking: AbortController | undefined;
    child.status.then(({ code }) => {
      ended = code;
      asking?.abort();
    });
    const deadline = performance.now() + timeout;
    try {
      while (ended === undefined) {
        asking = new AbortController();
        const timer = setTimeout(() => asking?.abort(), MAX_ASKING);
        const ready = await isReady(asking.signal).catch(() => false);
        clearTimeout(timer);
        if (ready && ended === undefined) return;
        if (performance.now() > deadline) {
          throw new StartError(
            `${title} did not answer within ${
              timeout / 1000
            } s${this.#lastWords()}`,
            false,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new StartError(
        `${title} ended while it started, with code ${ended}${this.#lastWords()}`,
        true,
      );
    } catch (error) {
      await this.end("SIGKILL");
      throw error;
    }
  }

  /** Ends it, if it runs. */
  async end(signal: Deno.Signal): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    try {
      child?.kill(signal);
    } catch {
      // It has ended.
    }
    await child?.status;
  }

  /** Waits until it has ended by itself, or by another's signal. */
  async ended(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    await child?.status;
  }

  #spawn(): Deno.ChildProcess {
    const { command, args, env = {}, cwd, log } = this.#settings;
    const common = {
      env: { ...env },
      ...(cwd === undefined ? {} : { cwd }),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    } as const;
    if (Deno.build.os === "windows") {
      return new Deno.Command(command, { ...common, args: [...args] }).spawn();
    }
    // Into a file: nobody has to read a pipe for as long as it runs.
    return new Deno.Command("/bin/sh", {
      ...common,
      args: ["-c", 'exec "$@" >>"$0" 2>&1', log, command, ...args],
    }).spawn();
  }

  #lastWords(): string {
    const { log, logs } = this.#settings;
    const texts = [log, ...logs?.() ?? []].map((path) => {
      try {
        return Deno.readTextFileSync(path).trim();
      } catch {
        return "";
      }
    });
    const text = texts.filter((each) => each !== "").join(" | ");
    // deno-lint-ignore no-control-regex -- the colours of a terminal
    const plain = text.replace(/\x1b\[[0-9;]*m/g, "").replace(/\s+/g, " ");
    return plain === ""
      ? ""
      : `; it last said: ${plain.slice(-MAX_LAST_WORDS)}`;
  }
}

/**
 * Starts a server on a free port and in a new folder, in `dir` where that is given, which
 * goes where it does not start.
 * If it ends while it starts, another program may have been faster with its port: it is
 * started again on another, twice. A `port` that is given is the only one.
 *
 * @throws {StartError} If it does not start.
 */
export async function startServer<S>(
  name: string,
  start: (port: number, folder: string) => Promise<S>,
  port?: number,
  dir?: string,
): Promise<S> {
  for (let tries = 1;; tries++) {
    const folder = await Deno.makeTempDir({
      prefix: `dashi-${name}-`,
      ...(dir === undefined ? {} : { dir }),
    });
    try {
      return await start(port ?? freePort(), folder);
    } catch (error) {
      await Deno.remove(folder, { recursive: true }).catch(() => {});
      const again = error instanceof StartError && error.ended &&
        port === undefined;
      if (!again || tries === MAX_TRIES) throw error;
    }
  }
}

/** Asks whether a server listens on a port of this machine, for {@linkcode ProgramSettings.isReady}. */
export async function listens(port: number): Promise<boolean> {
  (await Deno.connect({ hostname: "127.0.0.1", port })).close();
  return true;
}

/** A server that is one program of this machine. */
export interface ProgramServer extends LastingServer {
  /** Starts it again after `kill`. */
  start(): Promise<void>;
}

/** The settings of a server of a program. */
export interface ProgramServerSettings {
  /** The folder of its data, which goes when the server is stopped. */
  readonly folder: string;
  /** How it is stopped for good. @default {"SIGTERM"} */
  readonly stopSignal?: Deno.Signal | undefined;
}

/**
 * Makes a server of a program that was started.
 *
 * @param more Its URL, and what this server has besides, or does otherwise.
 */
export function serverOf<M extends { readonly url: string }>(
  program: Program,
  { folder, stopSignal = "SIGTERM" }: ProgramServerSettings,
  more: M,
): ProgramServer & M {
  const server = {
    get pid() {
      return program.pid;
    },
    start: () => program.start(),
    async restart(signal: Deno.Signal = "SIGTERM") {
      await program.end(signal);
      await program.start();
    },
    kill: () => program.end("SIGKILL"),
    async stop() {
      await program.end(stopSignal);
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
  return Object.assign(server, more); // not spread, which would keep one `pid`
}
