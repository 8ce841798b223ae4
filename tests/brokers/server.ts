/** The parts that the brokers' starters share. */

export { freePort } from "./ports.ts";

/** A server that the tests started. */
export interface Server {
  /** The URL of the server. */
  readonly url: string;
  /** Other environment variables for the tests, as `DASHI_TEST_<NAME>_<KEY>`. */
  readonly told?: Readonly<Record<string, string>> | undefined;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Ends it, and removes what it left. */
  stop(): Promise<void>;
}

/** A server that outlives its process: what it has confirmed it has when it is back. */
export interface LastingServer extends Server {
  /** The process that serves, now. */
  readonly pid: number;
  /** Ends it, in the ordinary way if not told otherwise, and starts it again, on the same port and data. */
  restart(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** A broker that tests need: one row of `mod.ts`. */
export interface BrokerRow {
  /** As in `DASHI_TEST_<NAME>_URL`. */
  readonly name: string;
  /** The name of the broker, for people. */
  readonly title: string;
  /** Its service in compose.yaml, and the URL of that. */
  readonly service: string;
  readonly serviceUrl: string;
  readonly servicePort: number;
  /** Debian's and Homebrew's package. */
  readonly packages: readonly string[];
  /** Which tests are counted as this broker's in the closing table: files, or names of tests. */
  readonly tests: RegExp;
  /** Whether installing takes minutes: its tests are left to `deno task interop`. */
  readonly slow?: boolean | undefined;
  /** Whether the server is on this machine. */
  isInstalled(): boolean;
  /** Which version is on this machine. */
  version(): string | Promise<string>;
  /** Installs it, where it is no package of the system. */
  install?(): Promise<void>;
  start(): Promise<Server>;
  /** Starts one as an operator would who must not lose what was confirmed. */
  startLasting?(): Promise<LastingServer>;
}

/** Asks until the answer is yes; an error counts as no. */
export async function until(
  what: string,
  timeout: number,
  ask: () => Promise<boolean>,
): Promise<void> {
  const end = performance.now() + timeout;
  for (;;) {
    const answer = await ask().catch(() => false);
    if (answer) return;
    if (performance.now() > end) {
      throw new Error(`${what} did not answer within ${timeout / 1000} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs a command to its end, and returns what it printed; `input` is what it reads. */
export async function run(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
  input = "",
): Promise<string> {
  const child = new Deno.Command(command, {
    args: [...args],
    env,
    stdin: input === "" ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // A program that ends before it has read all says why by its output, not by a broken pipe.
  const given = input === ""
    ? undefined
    : new Response(input).body?.pipeTo(child.stdin).catch((error: unknown) => {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    });
  const [{ success, stdout, stderr }] = await Promise.all([
    child.output(),
    given,
  ]);
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  throw new Error(
    `${command} ${args.join(" ")} failed: ${
      new TextDecoder().decode(stderr).trim() || text.trim()
    }`,
  );
}
