/** Runs the conformance suite under Deno's test runner. */

import { fillDefaults, parseUrl } from "../../url/mod.ts";
import type { Capability, Transport } from "../../transports/transport.ts";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import {
  CONFORMANCE_CASES,
  type ConformanceCase,
  type Harness,
  whyNot,
} from "../conformance/mod.ts";
import { startKilled } from "./killed.ts";
import { assertNothingLeft, resources } from "./leaks.ts";
import { SharedRestart } from "./shared_restart.ts";
import { unlessItStoodStill } from "./standing_still.ts";
import { ALL, LATER } from "./targets.ts";

/** Cases of many messages: they load a broker, or a stand-in of one, and are run on those that are quick. */
export const LOADS: RegExp =
  /5,000 messages|20 queues with|300 requeues|over repeated consumers|ten consumers are|all of many that|a thousand (delayed|calls)/;

/** Cases of a restart that ask more of the broker than of its transport. */
const RESTARTS: RegExp = /restart, (with all|and comes)|outlive a restart/;

/** Cases that do not hold on the server that is run on, by name, and why: `deno task test:newest` says them. */
const OPEN: Readonly<Record<string, string>> = JSON.parse(
  Deno.env.get("DASHI_TEST_OPEN") ?? "{}",
);

/** Brokers that answer slowly and stand in for another: `deno task faults` has them. */
export const SLOW: RegExp = anyOf(
  LOADS,
  RESTARTS,
  /fails once|is not answered|is killed after each/,
);

/** Cases that a second way of passing exchanges can change: with the limits of calls. */
export const EXCHANGING: RegExp =
  /fanout|exchange|broadcast|dead letter|deadline|abort/;

/** One of several that name cases. */
function anyOf(...names: readonly RegExp[]): RegExp {
  return new RegExp(names.map(({ source }) => source).join("|"));
}

/** A broker to run the suite on, or why there is none. */
export interface Subject {
  readonly transport: Transport;
  readonly url: string | undefined;
  /** The transport's own options. */
  readonly transportOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Why there is no URL. */
  readonly reason?: string | undefined;
  /** Options by which what a killed process held comes back within seconds. */
  readonly shortLease?: Readonly<Record<string, unknown>> | undefined;
  /** The broker for the cases with these options, where they would take from others what they hold. @default {url} */
  readonly shortLeaseUrl?: string | undefined;
  /** As in the harness. */
  readonly largestBody?: number | undefined;
  /** As in the harness. */
  readonly unordered?: string | undefined;
  /** As in the harness. */
  readonly hasOwnClock?: boolean | undefined;
  /** Cases that do not hold yet, by name, and why: a debt, not a capability. */
  readonly open?: Readonly<Record<string, string>> | undefined;
  /** The cases of other names are left to `deno task faults`: they do not depend on what the subject differs in. */
  readonly only?: RegExp | undefined;
  /** Cases of such names are left to `deno task faults`: they take long on this broker, and are run on others. */
  readonly slow?: RegExp | undefined;
  /** As in the harness. */
  readonly transact?: Harness["transact"];
  /** Makes a broker of a case's own that it may restart. */
  readonly startOwn?:
    | (() => Promise<
      { readonly url: string; restart(): Promise<void>; stop(): Promise<void> }
    >)
    | undefined;
}

/** Registers all cases; those that cannot be run are ignored, with the reason in their name. */
export async function registerConformance(
  name: string,
  subject: Subject,
): Promise<void> {
  const { transport, url, reason = "there is no broker", startOwn } = subject;
  const capabilities = url === undefined
    ? undefined
    : await capabilitiesOf(transport, url, subject.transportOptions);
  const harness: Harness = {
    transport,
    url: url ?? "",
    largestBody: subject.largestBody,
    unordered: subject.unordered,
    hasOwnClock: subject.hasOwnClock,
    transact: subject.transact,
    transportOptions: subject.transportOptions,
    restart: startOwn === undefined ? undefined : () => Promise.resolve(),
    startKilled: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const transportOptions = {
    ...subject.transportOptions,
    ...subject.shortLease,
  };
  const killingUrl = subject.shortLeaseUrl ?? url;
  const killing = {
    url: killingUrl ?? "",
    transportOptions,
    startKilled: (errand: string) =>
      startKilled({
        transport: transport.name,
        url: killingUrl,
        transportOptions,
        errand,
      }),
  };
  const restarting: ConformanceCase[] = [];
  for (const test of CONFORMANCE_CASES) {
    // They are the same cases as another subject's: nobody is told of them.
    if (!ALL && subject.only?.test(test.name) === false) continue;
    const why = capabilities === undefined
      ? reason
      : whyNot(test, harness, capabilities) ??
        { ...OPEN, ...subject.open }[test.name] ??
        (test.slow ? LATER : undefined) ??
        (!ALL && subject.slow?.test(test.name) ? LATER : undefined);
    if (why === undefined && test.restarts) {
      restarting.push(test);
      continue;
    }
    Deno.test({
      name: `${name}: ${test.name}${why === undefined ? "" : ` (${why})`}`,
      ignore: why !== undefined,
      async fn() {
        const before = resources();
        const run = () =>
          test.run({
            ...harness,
            restart: undefined,
            ...(test.kills ? killing : {}),
          });
        // Their leases are short, and what is held for longer comes again.
        await (test.kills ? unlessItStoodStill(1000, run) : run());
        await assertNothingLeft(before);
      },
    });
  }
  if (startOwn === undefined || restarting.length === 0) return;
  // One server for all of them, and one restart.
  const group = "on a server that restarts";
  const later = !ALL && subject.slow?.test(group) === true;
  Deno.test({
    name: `${name}: ${group}${later ? ` (${LATER})` : ""}`,
    ignore: later,
    fn: (context) => restartingOnes(context),
  });

  async function restartingOnes(context: Deno.TestContext): Promise<void> {
    if (startOwn === undefined) return;
    const own = await startOwn();
    try {
      const before = resources();
      const { url } = own;
      const shared = new SharedRestart(restarting.length, () => own.restart());
      const restart = () => shared.ask();
      const run = async (test: ConformanceCase) => {
        try {
          await test.run({ ...harness, url, restart });
        } finally {
          shared.leave();
        }
      };
      const ended = await Promise.all(restarting.map((test) =>
        context.step({
          name: test.name,
          // They run side by side, and the server's process is another behind the restart.
          sanitizeOps: false,
          sanitizeResources: false,
          sanitizeExit: false,
          fn: () => run(test),
        })
      ));
      if (ended.every((passed) => passed)) await assertNothingLeft(before);
    } finally {
      await own.stop();
    }
  }
}

async function capabilitiesOf(
  transport: Transport,
  url: string,
  transportOptions: Readonly<Record<string, unknown>> = {},
): Promise<ReadonlySet<Capability>> {
  const connection = await transport.connect(
    fillDefaults(parseUrl(url), transport.defaults ?? {}),
    {
      heartbeat: 10_000,
      transportOptions,
      operationTimeout: 60_000,
      owner: crypto.randomUUID(),
      clock: SYSTEM_CLOCK,
      deadline: performance.now() + 60_000,
    },
  );
  await connection[Symbol.asyncDispose]();
  return connection.capabilities;
}
