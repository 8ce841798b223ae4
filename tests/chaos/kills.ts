/** One run with producers and consumers in processes of their own, killed now and then. */

import { pause } from "./faults.ts";
import { Ledger, noted, type Tally } from "./ledger.ts";
import { type RunOptions, withQueue } from "./run.ts";

/** A worker. */
interface Process {
  readonly ended: boolean;
  /** Settles when it has ended, and all that it said was read. */
  readonly over: Promise<unknown>;
  kill(): void;
}

/** The process that is killed. */
export type Victim = "produce" | "consume";

/** Kills one while others go on. */
export async function runKills(
  url: string,
  victim: Victim,
  { messages, faults, random }: RunOptions,
): Promise<Tally> {
  const ledger = new Ledger();
  await withQueue(url, async ({ name }) => {
    const spawn = (role: Victim, ...numbers: readonly number[]) =>
      start([role, url, name, ...numbers.map(String)], ledger);
    const consumers = [spawn("consume"), spawn("consume")];
    const block = Math.ceil(messages / (faults + 1));
    try {
      for (let i = 0; i <= faults; i++) {
        const before = ledger.confirmed;
        for (let id = i * block; id < (i + 1) * block; id++) ledger.send(id);
        const producer = spawn("produce", i * block, block);
        if (i < faults) {
          const at = before + Math.max(1, Math.floor(block * random() * 0.8));
          while (ledger.confirmed < at && !producer.ended) await pause(1);
          ledger.faults++;
          if (victim === "produce") producer.kill();
          else {
            consumers.shift()?.kill();
            consumers.push(spawn("consume"));
          }
        }
        await producer.over;
      }
      await ledger.settle();
    } finally {
      for (const each of consumers) each.kill();
      await Promise.all(consumers.map(({ over }) => over));
    }
  });
  return noted(ledger.tally());
}

function start(args: readonly string[], ledger: Ledger): Process {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      new URL("worker.ts", import.meta.url).pathname,
      ...args,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let ended = false;
  child.status.then(() => ended = true);
  return {
    get ended() {
      return ended;
    },
    kill() {
      if (!ended) child.kill("SIGKILL");
    },
    over: Promise.all([read(child.stdout, ledger), child.status]),
  };
}

async function read(
  output: ReadableStream<Uint8Array>,
  ledger: Ledger,
): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of output) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [word, id] = line.split(" ");
      if (word === "confirmed") ledger.confirm(Number(id));
      else ledger.deliver(Number(id));
    }
  }
}
