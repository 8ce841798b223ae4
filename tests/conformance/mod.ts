/**
 * The suite that every transport passes, for authors of transports: plain data,
 * without a test runner. Each case connects to a real broker, declares under names of
 * its own, and removes what it made.
 *
 * Most cases wait, for a database to write or for a time to pass: they may run in several
 * processes at once, each on a part of them. On memory they take a minute, on a database
 * that waits for its disk two to six.
 *
 * @example With Deno's test runner
 * ```ts ignore needs a transport of yours
 * import { createConnection } from "@dashi/mq";
 * import { CONFORMANCE_CASES, whyNot } from "@dashi/mq/conformance";
 * import { createTransport } from "./my_transport/mod.ts";
 *
 * const harness = {
 *   transport: createTransport(),
 *   url: "mine://localhost/",
 *   async [Symbol.asyncDispose]() {},
 * };
 * const { transport, url } = harness;
 * const connection = createConnection(url, { transport });
 * await connection.connect();
 * const { capabilities } = connection;
 * await connection.close();
 * for (const each of CONFORMANCE_CASES) {
 *   const reason = whyNot(each, harness, capabilities);
 *   const name = reason === undefined ? each.name : `${each.name} (${reason})`;
 *   Deno.test({ name, ignore: reason !== undefined, fn: () => each.run(harness) });
 * }
 * ```
 *
 * @module
 */

import { isStoreTransport } from "../../transports/store/mod.ts";
import type { Capability } from "../../transports/transport.ts";
import { ABORTING } from "./aborting.ts";
import { AGES } from "./ages.ts";
import { BATCHING } from "./batching.ts";
import { CANCELLING } from "./cancelling.ts";
import type { ConformanceCase } from "./case.ts";
import type { Harness } from "./harness.ts";
import { CLOSING } from "./closing.ts";
import { COMEBACKS } from "./comebacks.ts";
import { CONSUMING } from "./consuming.ts";
import { DEAD_LETTERING } from "./dead_lettering.ts";
import { DECLARING } from "./declaring.ts";
import { DEDUPING } from "./deduping.ts";
import { DISPATCHING } from "./dispatching.ts";
import { EXCHANGE_TYPES } from "./exchange_types.ts";
import { EXTRAS } from "./extras.ts";
import { BREAKING } from "./breaking.ts";
import { CALENDARS } from "./calendars.ts";
import { FLOWING } from "./flowing.ts";
import { GETTING } from "./getting.ts";
import { HANDING_OVER } from "./handing_over.ts";
import { FAILING_APART } from "./failing_apart.ts";
import { FAILING_ONCE } from "./failing_once.ts";
import { FINALITY } from "./finality.ts";
import { HANGING } from "./hanging.ts";
import { LOST_ANSWERS } from "./lost_answers.ts";
import { LIMITS_OF_PARTS } from "./limits_of_parts.ts";
import { RESERVING } from "./reserving.ts";
import { HOOKING } from "./hooking.ts";
import { HOOKING_HANDLERS } from "./hooking_handlers.ts";
import { HOSTILE } from "./hostile.ts";
import { INBOXING } from "./inboxing.ts";
import { LEAVING } from "./leaving.ts";
import { INSPECTING } from "./inspecting.ts";
import { KILLED } from "./killed.ts";
import { KILLERS } from "./killers.ts";
import { MEASURING } from "./measuring.ts";
import { MESSAGING } from "./messaging.ts";
import { NAMING } from "./naming.ts";
import { NUMBERS } from "./numbers.ts";
import { ORDERING } from "./ordering.ts";
import { ORDERED_RUNS } from "./ordered_runs.ts";
import { PARKING } from "./parking.ts";
import { REDRIVING } from "./redriving.ts";
import { PROBING } from "./probing.ts";
import { PRODUCING } from "./producing.ts";
import { PUBLISHING } from "./publishing.ts";
import { QUARANTINING } from "./quarantining.ts";
import { RECEIVING } from "./receiving.ts";
import { RECOVERY } from "./recovery.ts";
import { REFUSING } from "./refusing.ts";
import { REPLYING } from "./replying.ts";
import { REQUEUING } from "./requeuing.ts";
import { RETRYING } from "./retrying.ts";
import { ROUTING } from "./routing.ts";
import { RUNNING } from "./running.ts";
import { SCHEDULING } from "./scheduling.ts";
import { SETTLING } from "./settling.ts";
import { SHARING } from "./sharing.ts";
import { SHUTDOWN } from "./shutdown.ts";
import { TELLING_APART } from "./telling_apart.ts";
import { TRANSACTING } from "./transacting.ts";
import { TOPOLOGY } from "./topology.ts";
import { TRACING } from "./tracing.ts";
import { VALIDATING } from "./validating.ts";
import { TABLES } from "./tables.ts";
import { UNCHANGED } from "./unchanged.ts";
import { WRAPPING } from "./wrapping.ts";

export type { ConformanceCase } from "./case.ts";
export type { Harness } from "./harness.ts";
export { runKilled } from "./killed.ts";
export type * from "../../transports/transport.ts";

/** All cases. */
export const CONFORMANCE_CASES: readonly ConformanceCase[] = [
  ...TOPOLOGY,
  ...EXCHANGE_TYPES,
  ...ROUTING,
  ...PUBLISHING,
  ...CONSUMING,
  ...SHARING,
  ...SETTLING,
  ...REQUEUING,
  ...DEDUPING,
  ...TRANSACTING,
  ...DEAD_LETTERING,
  ...ORDERING,
  ...ORDERED_RUNS,
  ...PARKING,
  ...REDRIVING,
  ...FINALITY,
  ...CLOSING,
  ...ABORTING,
  ...REFUSING,
  ...NUMBERS,
  ...EXTRAS,
  ...TELLING_APART,
  ...HANDING_OVER,
  ...GETTING,
  ...RECEIVING,
  ...AGES,
  ...CALENDARS,
  ...MESSAGING,
  ...DECLARING,
  ...TABLES,
  ...LEAVING,
  ...PRODUCING,
  ...NAMING,
  ...RUNNING,
  ...BATCHING,
  ...BREAKING,
  ...FLOWING,
  ...VALIDATING,
  ...RETRYING,
  ...INBOXING,
  ...HOOKING,
  ...HOOKING_HANDLERS,
  ...WRAPPING,
  ...REPLYING,
  ...DISPATCHING,
  ...TRACING,
  ...MEASURING,
  ...SCHEDULING,
  ...CANCELLING,
  ...INSPECTING,
  ...UNCHANGED,
  ...KILLERS,
  ...QUARANTINING,
  ...KILLED,
  ...FAILING_ONCE,
  ...LOST_ANSWERS,
  ...FAILING_APART,
  ...HANGING,
  ...LIMITS_OF_PARTS,
  ...RESERVING,
  ...HOSTILE,
  ...COMEBACKS,
  ...PROBING,
  ...SHUTDOWN,
  ...RECOVERY,
];

/**
 * Says why a case is left out for a broker.
 *
 * @param test The case.
 * @param harness The harness.
 * @param capabilities The broker's capabilities.
 * @returns The reason, or `undefined` if the case is to be run.
 *
 * @example A case that needs a capability
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { CONFORMANCE_CASES, whyNot } from "@dashi/mq/conformance";
 * import { createTransport } from "@dashi/mq/memory";
 *
 * const harness = {
 *   transport: createTransport(),
 *   url: "memory://suite",
 *   [Symbol.asyncDispose]: async () => {},
 * };
 * const test = CONFORMANCE_CASES.find(({ needs }) => needs.includes("delay"));
 * if (test === undefined) throw new Error("there is none");
 * assertEquals(whyNot(test, harness, new Set()), "this broker lacks delay");
 * ```
 */
export function whyNot(
  test: ConformanceCase,
  harness: Harness,
  capabilities: ReadonlySet<Capability>,
): string | undefined {
  const missing = test.needs.filter((each) => !capabilities.has(each));
  if (missing.length > 0) return `this broker lacks ${missing.join(", ")}`;
  const present = test.lacks.filter((each) => capabilities.has(each));
  if (present.length > 0) return `this broker has ${present.join(", ")}`;
  if (test.restarts && harness.restart === undefined) {
    return "this harness does not restart its broker";
  }
  if (test.kills && harness.startKilled === undefined) {
    return "this harness starts no process to be killed";
  }
  if (test.transacts && harness.transact === undefined) {
    return "this harness makes no transactions";
  }
  if (test.ordered && harness.unordered !== undefined) return harness.unordered;
  if (test.limited && harness.largestBody === undefined) {
    return "this harness knows no largest body";
  }
  if (test.timed && harness.hasOwnClock !== true) {
    return "this harness knows of no clock of the broker's own";
  }
  if (test.wraps && !isStoreTransport(harness.transport)) {
    return "this transport is not made of a store";
  }
  return undefined;
}
