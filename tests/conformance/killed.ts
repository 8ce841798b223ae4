import process from "node:process";
import { Broker, connect } from "./broker.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import type { Harness } from "./harness.ts";
import { declarePlace, type Deed, type Place } from "./deeds.ts";
import { SETTLING, TAKING } from "./deeds_of_messages.ts";
import { DECLARING, PUBLISHING } from "./deeds_of_tables.ts";
import { arrives, CASE_PATIENCE, PATIENCE, soon, unique } from "./support.ts";

const ALL = [...DECLARING, ...PUBLISHING, ...TAKING, ...SETTLING];

/** All deeds, by what they are about. */
const DEEDS: Readonly<Record<string, readonly Deed[]>> = {
  "the most important": ALL.filter(isFirst),
  "the tables": DECLARING.filter(isLater),
  publishes: PUBLISHING.filter(isLater),
  "messages that are held": TAKING.filter(isLater),
  settlements: SETTLING.filter(isLater),
};

/** How many processes are there at once. */
const AT_ONCE = 4;

/** The deed after which a process is killed, written down for its command line. */
type Errand = readonly [deed: string, name: string];

/**
 * Does what a case asks of a process, and kills that process (this one) in the same
 * breath: for the programs that {@linkcode Harness.startKilled} starts.
 *
 * @param harness The harness, as that of the case.
 * @param errand The errand that `startKilled` was given.
 * @returns Never.
 *
 * @example A program that is killed
 * ```ts ignore it kills its process
 * import { runKilled } from "@dashi/mq/conformance";
 *
 * const harness = {
 *   transport: myTransport,
 *   url: "mine://localhost",
 *   [Symbol.asyncDispose]: async () => {},
 * };
 * await runKilled(harness, Deno.args[0] ?? "");
 * ```
 */
export async function runKilled(
  harness: Harness,
  errand: string,
): Promise<never> {
  const [name, base] = readErrand(errand);
  const deed = Object.values(DEEDS).flat().find((each) => each.name === name);
  if (deed === undefined) throw new TypeError(`There is no deed "${name}"`);
  const connection = await connect(harness);
  const channel = await connection.openChannel(soon());
  const place = placeOf(base);
  await declarePlace(channel, place, connection.capabilities);
  await deed.act({ harness, connection, channel, place });
  process.kill(process.pid, "SIGKILL");
  return await new Promise<never>(() => {});
}

function readErrand(text: string): Errand {
  const errand: unknown = JSON.parse(text);
  if (Array.isArray(errand)) {
    const [name, base] = errand;
    if (typeof name === "string" && typeof base === "string") {
      return [name, base];
    }
  }
  throw new TypeError(`Cannot read the errand ${text}`);
}

function placeOf(base: string): Place {
  return {
    queue: base,
    dead: `${base}-dead`,
    exchange: `${base}-exchange`,
    unused: `${base}-unused`,
  };
}

async function tryDeed(
  harness: Harness,
  startKilled: (errand: string) => Promise<void>,
  deed: Deed,
): Promise<void> {
  const base = unique("killed");
  const place = placeOf(base);
  const broker = await Broker.open(harness);
  try {
    const { capabilities } = broker.connection;
    if (deed.needs?.some((each) => !capabilities.has(each))) return;
    broker.removes([place.queue, place.dead, place.unused], [
      place.exchange,
      place.unused,
    ]);
    await declarePlace(broker.channel, place, capabilities);
    for (const text of deed.before ?? []) await broker.put(place.queue, text);
    const errand: Errand = [deed.name, base];
    await arrives(
      startKilled(JSON.stringify(errand)),
      "the end of the process",
      2 * PATIENCE,
    );
    await deed.check(broker, place);
  } catch (cause) {
    throw new Error(`${deed.name}: ${cause}`, { cause });
  } finally {
    await broker[Symbol.asyncDispose]();
  }
}

async function tryAll(
  harness: Harness,
  deeds: readonly Deed[],
): Promise<void> {
  const { startKilled } = harness;
  if (startKilled === undefined) throw new TypeError("It starts no process");
  const left = deeds[Symbol.iterator]();
  const failures: unknown[] = [];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const deed of left) {
      await tryDeed(harness, startKilled, deed)
        .catch((error: unknown) => failures.push(error));
    }
  }));
  if (failures.length > 0) {
    throw new AggregateError(failures, failures.map(String).join("\n"));
  }
}

/** A result that was awaited holds, whatever becomes of the process right after it. */
export const KILLED: readonly ConformanceCase[] = Object.entries(DEEDS).map((
  [topic, deeds],
) =>
  onHarness(
    `a process that is killed after each awaited verb: ${topic}`,
    (harness) =>
      arrives(tryAll(harness, deeds), "the end of the case", CASE_PATIENCE),
    { needs: ["persistence"], kills: true, slow: !deeds.some(isFirst) },
  )
);

function isFirst({ first = false }: Deed): boolean {
  return first;
}

function isLater({ first = false }: Deed): boolean {
  return !first;
}
