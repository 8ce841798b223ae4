// deno-lint-ignore-file no-console -- a program for people
/** How long a process takes that has just begun until its first message is published, and it has left. */

import { createConnection } from "@dashi/mq";
import { median } from "./measure.ts";

const ROUNDS = 9;
const PARTS = ["import", "connect", "publish", "close"] as const;

/** Measures it with all that is imported in Deno's cache, and prints the medians. */
export async function benchCold(url: string): Promise<void> {
  await once(url); // which may have to compile
  const rounds: number[][] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push(await once(url));
  const sums = rounds.map((parts) => parts.reduce((a, b) => a + b, 0));
  const told = PARTS.map((part, i) =>
    `${part} ${Math.round(median(rounds.map((parts) => parts[i] ?? 0)))}`
  );
  await using connection = createConnection(url);
  await connection.queue("dashi-bench-cold").delete();
  console.log(
    `\nFrom the start of a process, ${connection.asUri()}\n  ${
      Math.round(median(sums))
    } ms (${told.join(", ")}; ${Math.round(Math.min(...sums))} to ${
      Math.round(Math.max(...sums))
    })`,
  );
}

async function once(url: string): Promise<number[]> {
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check"]
      .concat(new URL("./cold_child.ts", import.meta.url).pathname, url),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
