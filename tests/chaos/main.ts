// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Lets things go wrong on every transport and counts what became of the messages:
 * `deno task chaos [--seed=N] [--messages=N] [--faults=N] [TRANSPORT…]`.
 *
 * Prints a row for each transport and fault; ends with an error if a confirmed message
 * was lost, or if a promise was rejected that nobody waited for.
 */

import { provideBrokers } from "../brokers/mod.ts";
import { MIXED, NETWORK_FAULTS, randomOf } from "./faults.ts";
import type { Tally } from "./run.ts";

const COLUMNS = [
  "published",
  "confirmed",
  "delivered",
  "duplicated",
  "lost",
  "faults",
] as const;

function numberOf(name: string, otherwise: number): number {
  const given = Deno.args.find((each) => each.startsWith(`--${name}=`));
  return given === undefined ? otherwise : Number(given.split("=")[1]);
}

async function main(): Promise<number> {
  const seed = numberOf("seed", Math.floor(Math.random() * 2 ** 32));
  const messages = numberOf("messages", 2000);
  const faults = numberOf("faults", 8);
  const wanted = Deno.args.filter((each) => !each.startsWith("--"));
  let unhandled = 0;
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    unhandled++;
    console.error("unhandled:", event.reason);
  });
  const brokers = await provideBrokers((line) => console.error(`# ${line}`));
  for (const [name, value] of Object.entries(brokers.env)) {
    Deno.env.set(name, value);
  }
  // They read the environment when they are loaded.
  const { TARGETS } = await import("../support/targets.ts");
  const { runKills, runNetwork } = await import("./run.ts");
  console.log(`seed ${seed}, ${messages} messages, ${faults} faults a run\n`);
  console.log(row("transport", "fault", ...COLUMNS, "seconds"));
  let lost = 0;
  let broken = 0;
  const show = (transport: string, fault: string, tally: Tally) => {
    lost += tally.lost;
    console.log(
      row(
        transport,
        fault,
        ...COLUMNS.map((each) => String(tally[each])),
        tally.seconds.toFixed(1),
      ),
    );
  };
  for (const { name, url, reason } of TARGETS) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    if (url === undefined) {
      console.log(`${name.padEnd(12)} skipped: ${reason}`);
      continue;
    }
    // Each run has a sequence of its own: one transport's does not change the next's.
    const options = () => ({ messages, faults, random: randomOf(seed) });
    const attempt = async (fault: string, run: () => Promise<Tally>) => {
      try {
        show(name, fault, await run());
      } catch (error) {
        broken++;
        console.log(row(name, fault), `broken: ${error}`);
      }
    };
    for (const [fault, happen] of Object.entries(NETWORK_FAULTS)) {
      await attempt(fault, () => runNetwork(url, happen, options()));
    }
    await attempt("mixed", () => runNetwork(url, MIXED, options()));
    for (const victim of ["produce", "consume"] as const) {
      await attempt(
        `kill -9 ${victim}r`,
        () => runKills(url, victim, options()),
      );
    }
  }
  await brokers.stop();
  console.log(
    `\n${lost} lost, ${broken} broken, ${unhandled} unhandled, seed ${seed}`,
  );
  return lost + broken + unhandled > 0 ? 1 : 0;
}

function row(transport: string, fault: string, ...rest: string[]): string {
  return [
    transport.padEnd(12),
    fault.padEnd(17),
    ...rest.map((each) => each.padStart(10)),
  ].join(" ");
}

if (import.meta.main) Deno.exit(await main());
