// deno-lint-ignore-file no-top-level-await -- a program too
/**
 * Processes of two versions of the library on one broker: this one, and 0.1.0 as this
 * repository's history has it. Both run this file, each with its own version's configuration.
 */

import { createConnection, Exchange, Queue } from "@dashi/mq";
import { cacheFolder, cachePath } from "./cache.ts";
import { JsonProcess } from "./json_process.ts";

/** The last commit whose layouts had no version. */
const PREDECESSOR = "0143cf8";

const ROOT = new URL("../../", import.meta.url).pathname;
const PROGRAM = new URL(import.meta.url).pathname;

/** Which version of the library a process has. */
export type Version = "0.1.0" | "this one";

/** The work of a process. */
export interface Duty {
  readonly url: string;
  readonly queue: string;
  /** The exchange that the queue is bound to, with the queue's name for a key. */
  readonly exchange: string;
  readonly type: "direct" | "topic" | "fanout";
  /** `consume` acks what comes, and says it; `publish` says each number that was confirmed, from `from` on. */
  readonly mode: "consume" | "publish";
  readonly from?: number;
}

/** A line that a process says. */
export interface Line {
  readonly ready?: boolean;
  readonly got?: string;
  readonly redelivered?: boolean;
  readonly confirmed?: string;
}

/** Why tests with 0.1.0 cannot be run here; `undefined` where they can. */
export function whyNoPredecessor(): string | undefined {
  try {
    const { success } = new Deno.Command("git", {
      args: ["-C", ROOT, "cat-file", "-e", `${PREDECESSOR}^{commit}`],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? undefined : "0.1.0 is not in this clone's history";
  } catch {
    return "0.1.0 is in the history, and git is not on this machine";
  }
}

/**
 * Takes 0.1.0 from the repository's history, once for all runs of the tests: Deno
 * remembers what it made of a module by the module's path.
 *
 * @returns Its folder.
 */
async function predecessor(): Promise<string> {
  const folder = cachePath(`dashi-0.1.0-${PREDECESSOR}`);
  if (await isThere(folder)) return folder;
  const parts = await cacheFolder(`unpacking-${crypto.randomUUID()}`);
  const archive = `${parts}/archive.tar`;
  await run("git", ["-C", ROOT, "archive", "-o", archive, PREDECESSOR]);
  await run("tar", ["-x", "-f", archive, "-C", parts]);
  await Deno.remove(archive);
  try {
    await Deno.rename(parts, folder);
  } catch (error) {
    // Tests run at once: another was faster.
    if (!await isThere(folder)) throw error;
    await Deno.remove(parts, { recursive: true });
  }
  return folder;
}

function isThere(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

/** 0.1.0, out of the repository's history. */
export class Predecessor {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes it from there. */
  static async unpack(): Promise<Predecessor> {
    return new Predecessor(await predecessor());
  }

  /** Starts a process of a version. */
  start(version: Version, duty: Duty): Process {
    const root = version === "0.1.0" ? this.#folder : ROOT;
    return new Process(`${root}/deno.json`, duty);
  }
}

/** A process of either version. */
export class Process extends JsonProcess<Line> {
  /** Starts it with a version's configuration. */
  constructor(config: string, duty: Duty) {
    super({ program: PROGRAM, config, order: duty });
  }

  /** Waits until what it has said is enough. */
  async until(isEnough: (lines: readonly Line[]) => boolean): Promise<void> {
    await this.find((lines) => isEnough(lines) || undefined);
  }

  /** Waits until it has begun. */
  async ready(): Promise<void> {
    await this.until((lines) => lines.some(({ ready }) => ready));
  }

  /** Ends it in order: what it holds goes back, and what it publishes is confirmed. */
  async stop(): Promise<void> {
    await this.child.stdin.close();
    if (!await this.end()) throw new Error("The process did not end well");
  }
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, {
    args: [...args],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

function say(line: Line): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

/** Resolves when the other end of standard input is closed. */
async function told(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
}

async function main(
  { url, queue: name, exchange: source, type, mode, from = 0 }: Duty,
): Promise<void> {
  const connection = createConnection(url, { connectTimeout: 60_000 });
  const exchange = new Exchange(source, { type });
  const queue = new Queue(name, { exchange, routingKey: name });
  let over = false;
  const stopping = told().then(() => over = true);
  await connection.declare([queue]);
  if (mode === "publish") {
    const producer = connection.producer<string>({ exchange });
    say({ ready: true });
    for (let i = from; !over; i++) {
      const text = `${name} ${i}`;
      // Kombu's consumers of a fanout exchange hear what has the key that they are bound by.
      await producer.publish(
        text,
        type === "fanout" ? {} : { routingKey: name, mandatory: true },
      );
      say({ confirmed: text });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return await connection.close();
  }
  const consumer = connection.consumer<string>(queue, { prefetch: 10 });
  const running = consumer.run(({ payload, deliveryInfo }) => {
    say({ got: payload, redelivered: deliveryInfo.redelivered });
  });
  while (!consumer.health().healthy) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  say({ ready: true });
  await stopping;
  await connection.close();
  await running;
}

if (import.meta.main) {
  await main(JSON.parse(Deno.args[0] ?? ""));
  Deno.exit(); // nothing of either version is to keep it
}
