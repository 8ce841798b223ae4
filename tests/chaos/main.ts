// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Lets things go wrong on every transport and counts what became of the messages:
 * `deno task chaos [--seed=N] [--messages=N] [--faults=N] [--minutes=N] [--only=WHAT] [TRANSPORT…]`.
 *
 * Prints a row for each transport and fault; ends with an error if a confirmed message
 * was lost, if one was delivered that nobody had sent, if a run broke or did not end, or if a promise was rejected that nobody
 * waited for.
 */

import { BROKERS, lastingServer, provideBrokers } from "../brokers/mod.ts";
import { type Target, TARGETS } from "../support/targets.ts";
import {
  type Fault,
  MIXED,
  NETWORK_FAULTS,
  randomOf,
  SERVER_FAULTS,
  type ServerFault,
} from "./faults.ts";
import { runKills, type Victim } from "./kills.ts";
import { COUNTS, type Tally } from "./ledger.ts";
import { runBusy, runIdle, type RunOptions } from "./run.ts";
import {
  behindNodes,
  behindProxies,
  onNodes,
  onServer,
  type Scene,
  withCluster,
  withSqliteFile,
} from "./scene.ts";

/** One run may take so long, ms: what is missing counts as lost long before. */
const RUN_TIMEOUT = 240_000;

/** A run, by what goes wrong in it. */
type Run = readonly [
  what: string,
  run: (options: RunOptions) => Promise<Tally>,
];

/** Makes a run's scene. */
type Open = () => Scene | Promise<Scene>;

/** The total of all runs, or of one transport's. */
class Total {
  readonly #counts = new Map<string, number>();
  gap = 0;
  seconds = 0;
  /** The number of runs that did not end, or were not tried. */
  broken = 0;

  add(tally: Tally): void {
    for (const each of COUNTS) {
      this.#counts.set(each, this.of(each) + tally[each]);
    }
    this.gap = Math.max(this.gap, tally.gap);
    this.seconds += tally.seconds;
  }

  of(count: (typeof COUNTS)[number]): number {
    return this.#counts.get(count) ?? 0;
  }

  row(transport: string, what: string): string {
    return row(
      transport,
      what,
      ...COUNTS.map((each) => String(this.of(each))),
      this.gap.toFixed(1),
      this.seconds.toFixed(1),
    );
  }
}

async function main(): Promise<number> {
  const only = argumentOf("only") ?? "";
  const seed = numberOf("seed", Math.floor(Math.random() * 2 ** 32));
  const messages = numberOf("messages", 1000);
  const faults = numberOf("faults", 4);
  const end = performance.now() + 60_000 * numberOf("minutes", 30);
  const wanted = Deno.args.filter((each) => !each.startsWith("--"));
  const isWanted = (name: string) =>
    wanted.length === 0 || wanted.includes(name);
  const targets = TARGETS.filter(({ name }) => isWanted(name));
  let unhandled = 0;
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    unhandled++;
    console.error("unhandled:", event.reason);
  });
  const brokers = await provideBrokers(
    (line) => console.error(`# ${line}`),
    BROKERS.filter(({ name }) => targets.some(({ broker }) => broker === name)),
  );
  for (const [name, value] of Object.entries(brokers.env)) {
    Deno.env.set(name, value);
  }
  console.log(`seed ${seed}, ${messages} messages, ${faults} faults a run\n`);
  console.log(row("transport", "what", ...COUNTS, "gap", "seconds"));
  const all = new Total();
  const totals = new Map<string, Total>();
  const attemptOn = (name: string) => {
    const total = new Total();
    totals.set(name, total);
    return async ([what, run]: Run) => {
      if (!what.includes(only)) return;
      // Each run has a sequence of its own: one transport's does not change the next's.
      const options = { messages, faults, random: randomOf(seed) };
      try {
        const left = end - performance.now();
        if (left <= 0) throw new Error("not tried: the time is over");
        const tally = await within(Math.min(left, RUN_TIMEOUT), run(options));
        const single = new Total();
        for (const each of [single, total, all]) each.add(tally);
        console.log(single.row(name, what));
      } catch (error) {
        total.broken++;
        all.broken++;
        console.log(row(name, what), ` broken: ${error}`);
      }
    };
  };
  for (const target of targets) {
    const { name, url, reason } = target;
    const attempt = attemptOn(name);
    if (url === undefined) console.log(row(name, "all"), ` skipped: ${reason}`);
    else for (const each of networkRuns(url)) await attempt(each);
    await withServer(target, async (runs) => {
      for (const each of runs) await attempt(each);
    });
  }
  if (isWanted("sqlite")) {
    const attempt = attemptOn("sqlite");
    await withSqliteFile(async (url) => {
      for (const each of killRuns(url)) await attempt(each);
    });
  }
  if (isWanted("redis-cluster")) {
    const attempt = attemptOn("redis-cluster");
    await withCluster(async (cluster, url) => {
      const network = (fault: Fault) => () => behindNodes(cluster, fault);
      for (const each of networkRuns(url, network)) await attempt(each);
      const server = (fault: ServerFault) => onNodes(cluster, url, fault);
      for (const each of serverRuns(server)) await attempt(each);
    });
  }
  await brokers.stop();
  console.log(`\n${row("total", "", ...COUNTS, "gap", "seconds")}`);
  for (const [name, total] of totals) console.log(total.row(name, ""));
  console.log(all.row("all", ""));
  console.log(
    `\n${all.of("lost")} lost, ${
      all.of("unexpected")
    } unexpected, ${all.broken} broken, ${unhandled} unhandled, seed ${seed}`,
  );
  return all.of("lost") + all.of("unexpected") + all.broken + unhandled > 0
    ? 1
    : 0;
}

/** The faults between a broker and its clients, and in the clients. */
function networkRuns(
  url: string,
  sceneOf = (fault: Fault): Open => () => behindProxies(url, fault),
): Run[] {
  return [
    ...Object.entries({ ...NETWORK_FAULTS, mixed: MIXED }).flatMap((
      [what, fault],
    ) => both(what, sceneOf(fault))),
    ...killRuns(url),
  ];
}

/** The faults of servers. */
function serverRuns(sceneOf: (fault: ServerFault) => Scene): Run[] {
  return Object.entries(SERVER_FAULTS).flatMap(([what, fault]) =>
    both(what, () => sceneOf(fault))
  );
}

/** The faults in the clients. */
function killRuns(url: string): Run[] {
  const victims: readonly Victim[] = ["produce", "consume"];
  return victims.map((victim): Run => [
    `kill -9 ${victim}r`,
    (options) => runKills(url, victim, options),
  ]);
}

/** The faults of a broker itself: one that is started for that alone. */
async function withServer(
  target: Target,
  use: (runs: readonly Run[]) => Promise<void>,
): Promise<void> {
  const lasting = lastingServer(target.broker);
  if ("reason" in lasting) {
    const { reason } = lasting;
    return console.log(row(target.name, "server"), ` skipped: ${reason}`);
  }
  const server = await lasting.start();
  const url = target.at(server.url);
  try {
    await use(serverRuns((fault) => onServer(server, url, fault)));
  } finally {
    await server.stop();
  }
}

/** The run in which they work, and the one in which the consumer waits for work. */
function both(what: string, open: Open): Run[] {
  return [
    [
      what,
      async (options) =>
        await on(await open(), (scene) => runBusy(scene, options)),
    ],
    [
      `${what}, idle`,
      async (options) =>
        await on(await open(), (scene) => runIdle(scene, options)),
    ],
  ];
}

async function on(
  scene: Scene,
  run: (scene: Scene) => Promise<Tally>,
): Promise<Tally> {
  try {
    return await run(scene);
  } finally {
    await scene[Symbol.asyncDispose]();
  }
}

/** Waits no longer than so many milliseconds. */
async function within<T>(duration: number, running: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no end after ${Math.round(duration / 1000)} s`)),
      duration,
    );
  });
  try {
    return await Promise.race([running, over]);
  } finally {
    clearTimeout(timer);
  }
}

function numberOf(name: string, otherwise: number): number {
  const given = argumentOf(name);
  return given === undefined ? otherwise : Number(given);
}

function argumentOf(name: string): string | undefined {
  const start = `--${name}=`;
  return Deno.args.find((each) => each.startsWith(start))?.slice(start.length);
}

function row(transport: string, what: string, ...rest: string[]): string {
  return [
    transport.padEnd(12),
    what.padEnd(20),
    ...rest.map((each) => each.padStart(10)),
  ].join(" ");
}

if (import.meta.main) Deno.exit(await main());
