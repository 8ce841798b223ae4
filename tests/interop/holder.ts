// deno-lint-ignore-file no-top-level-await -- a program too
/** A process of ours that holds messages until it is killed. */

import { createConnection } from "@dashi/mq";

const PROGRAM = new URL(import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** The process. */
export class Holder implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  #ended = false;

  /** Starts it. */
  constructor(
    url: string,
    transportOptions: Readonly<Record<string, unknown>>,
    queue: string,
  ) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--config",
        CONFIG,
        PROGRAM,
        url,
        JSON.stringify(transportOptions),
        queue,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  }

  /** Waits until it holds so many. */
  async hold(count: number): Promise<void> {
    let held = 0;
    for await (const chunk of this.#child.stdout) {
      held += chunk.length; // a byte for each
      if (held >= count) return;
    }
    throw new Error(`The holder has ended with ${held} of ${count} messages`);
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }

  /** The same. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function main([url, options = "{}", queue = ""]: readonly string[]) {
  const connection = createConnection(url ?? "", {
    transportOptions: JSON.parse(options),
  });
  for await (const _message of connection.consumer(queue)) {
    await Deno.stdout.write(new Uint8Array(1));
  }
}

if (import.meta.main) await main(Deno.args);
