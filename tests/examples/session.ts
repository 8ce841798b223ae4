/** Does in processes what a session in a terminal on a page shows. */

import { ROOT, type Step } from "./programs.ts";

/** A program that has not said by then what it is to say never will, ms. */
export const PATIENCE = 150_000;

/** How a session is played. */
export interface Stage {
  /** The broker's URL. */
  readonly url: string;
  /** The interpreter of Python, where a command needs one. */
  readonly python?: string;
  /** Further variables of its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The command that runs a file, in place of `deno run -NE`. @default {Deno, which does not check types} */
  readonly runtime?: readonly string[];
  /** The path of the folder with the programs. @default {`examples/`} */
  readonly folder?: string;
}

/** The outcome of a session. */
export interface Played {
  /** All that the programs printed, in the order in which it came. */
  readonly lines: readonly string[];
  /** What they said on stderr, of those whose command does not send that away. */
  readonly stderr: string;
  /** How each ended: its exit code. */
  readonly codes: readonly number[];
}

/** A program under way. */
interface Running {
  readonly child: Deno.ChildProcess;
  /** Resolves to its exit code when all that it printed is read. */
  readonly ended: Promise<number>;
}

/** As the pages run them, but that types are checked once, elsewhere. */
const DENO: readonly string[] = [Deno.execPath(), "run", "-NE"]
  .concat("--quiet", "--no-check");

/** Sends what a program says on stderr away. */
const SILENT = "2>/dev/null";

/** The signal of a command of `kill`. */
function signalOf(option: string | undefined): Deno.Signal {
  if (option === "-9") return "SIGKILL";
  return option === "-INT" ? "SIGINT" : "SIGTERM";
}

/**
 * Plays a session: each command when all before it have printed what they are to print.
 *
 * @throws {Error} If a command had not begun when the time was over, ms.
 */
export async function play(
  steps: readonly Step[],
  stage: Stage,
  patience: number = PATIENCE,
): Promise<Played> {
  const lines: string[] = [];
  let stderr = "";
  let open = 0;
  let changed = Promise.withResolvers<void>();
  const tell = () => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  const running: Running[] = [];
  const killAll = () => running.forEach(({ child }) => kill(child, "SIGKILL"));
  let gaveUp = false;
  const giveUp = setTimeout(() => {
    gaveUp = true;
    killAll();
  }, patience);
  const run = (command: string, words: readonly string[]) => {
    // Nobody would end a program that is started now.
    if (gaveUp) {
      throw new Error(
        `After ${
          patience / 1000
        } s "${command}" had not begun; until then was printed: ${
          JSON.stringify(lines)
        }${stderr === "" ? "" : `, and on stderr: ${stderr}`}`,
      );
    }
    open++;
    const child = start(words, stage);
    const ended = Promise.all([
      child.status,
      readLines(child.stdout, (line) => {
        lines.push(line);
        tell();
      }),
      new Response(child.stderr).text(),
    ]).then(([{ code }, , text]) => {
      if (!command.includes(SILENT)) stderr += text;
      open--;
      tell();
      return code;
    });
    running.push({ child, ended });
  };
  let expected = 0;
  try {
    for (const { command, lines: its } of steps) {
      const words = command.replace(SILENT, "").trim().split(/\s+/);
      expected += its.length;
      if (words[0] === "kill") {
        const last = running.at(-1);
        if (last === undefined) throw new Error(`Nothing runs: ${command}`);
        kill(last.child, signalOf(words[1]));
        await last.ended;
      } else if (words.at(-1) === "&") {
        run(command, words.slice(0, -1));
        while (lines.length < expected && open > 0) await changed.promise;
      } else {
        run(command, words);
        await running.at(-1)?.ended;
      }
    }
    const codes = await Promise.all(running.map(({ ended }) => ended));
    return { lines, stderr, codes };
  } finally {
    clearTimeout(giveUp);
    killAll();
  }
}

/** Starts a program as a command says. */
export function start(
  [program = "", ...args]: readonly string[],
  { url, python = "", env = {}, runtime = DENO, folder }: Stage,
): Deno.ChildProcess {
  const [command = "", ...all] = program === "deno"
    ? [...runtime, ...args.filter((each) => each !== "run" && each !== "-NE")]
    : [python, ...args];
  if (command === "") throw new Error(`No ${program} here`);
  return new Deno.Command(command, {
    args: all,
    cwd: folder ?? new URL("examples/", ROOT).pathname,
    env: {
      DASHI_URL: url,
      NO_COLOR: "1",
      PYTHONDONTWRITEBYTECODE: "1",
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Reads a stream to its end. */
export async function readLines(
  stream: ReadableStream<Uint8Array>,
  each: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) each(part);
  }
  if (rest !== "") each(rest);
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended.
  }
}
