/** A database that fails now and then, in each of its calls, before and after it has done what it was asked for. */

import { assert } from "@std/assert";
import {
  type Connection,
  createConnection,
  PublishError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { isReady, LEASES } from "../../../transports/records/ids.ts";
import type { Records } from "../../../transports/records/mod.ts";
import { arrives, PATIENCE } from "../../conformance/support.ts";
import { chanceOf } from "../../fuzz/garbler.ts";
import {
  type MemoryDatabase,
  memoryRecordsTransport,
} from "../../support/memory_records.ts";

/** How a call fails: it does nothing, it does all and its answer is lost, or it refuses its last draft. */
const WAYS = ["before", "after", "refused"] as const;
type Way = typeof WAYS[number];

/** Says of the n-th call how it fails, if it does. */
type Plan = (n: number) => Way | undefined;

/** The number of calls that are counted: those of a whole go, and some that only wait. */
const CALLS = 72;

/** Goes at the same time: most of their time they wait. */
const AT_ONCE = 24;

/** How long the database fails, ms. */
const FAILING = 5000;

const PLAIN = ["first", "second", "third", "fourth"];

class Faults {
  calls = 0;
  armed = false;
  readonly #plan: Plan;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  around(records: Records): Records {
    const asked = <T>(
      verb: string,
      work: () => Promise<T>,
      refuse?: () => Promise<T>,
    ) => this.#ask(verb, work, refuse);
    return {
      ...records,
      list: (range, call) => asked("list", () => records.list(range, call)),
      read: (ids, call) => asked("read", () => records.read(ids, call)),
      write: (drafts, call) =>
        asked(
          "write",
          () => records.write(drafts, call),
          async () => {
            const written = await records.write(drafts.slice(0, -1), call);
            const error = new PublishError("Cannot write: refused once", {
              code: "publish-refused",
            });
            return [...written, { type: "refused", error }];
          },
        ),
    };
  }

  async #ask<T>(
    verb: string,
    work: () => Promise<T>,
    refuse: () => Promise<T> = work,
  ): Promise<T> {
    const way = this.armed ? this.#plan(++this.calls) : undefined;
    if (way === undefined) return await work();
    const text = `Cannot ${verb}: the case wants it so`;
    switch (way) {
      case "before":
        throw new TimeoutError(text, { outcome: "not-sent" });
      case "after":
        await work();
        throw new TimeoutError(text, { outcome: "unknown" });
      case "refused":
        return await refuse();
    }
  }
}

/** Records whose database tells what changes. */
function told(records: Records, { watchers }: MemoryDatabase): Records {
  return {
    ...records,
    watch: (onChange) => {
      watchers.add(onChange);
      return Promise.resolve(() => void watchers.delete(onChange));
    },
  };
}

async function persist(action: () => Promise<unknown>): Promise<void> {
  for (let i = 0;; i++) {
    try {
      await action();
      return;
    } catch (error) {
      if (i === 10) throw error;
    }
  }
}

/** Consumes until it is told to stop; a run that ended is begun again. */
async function consume(
  connection: Connection,
  queue: Queue,
  signal: AbortSignal,
  onPayload: (payload: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    await connection.consumer(queue)
      .run(({ payload }) => onPayload(payload), {
        signal,
        // What is given back again and again, because its run has ended, is not to be given up.
        retry: { attempts: 1000 },
      }).catch(() => {});
  }
}

/** Publishes and consumes over a database that fails; returns how many calls it counted. */
async function go(plan: Plan, isTold: boolean): Promise<number> {
  const faults = new Faults(plan);
  const transport = memoryRecordsTransport((records, database) =>
    faults.around(isTold ? told(records, database) : records)
  );
  const connection = createConnection("memory-records:///x", {
    transport,
    onUnhandled: () => {},
  });
  const dead = new Queue("dead");
  const work = new Queue("work", { deadLetter: "dead" });
  const lapsing = new Queue("lapsing", { deadLetter: "dead" });
  await connection.declare([dead, work, lapsing]);
  faults.armed = true;
  const missing = new Set<unknown>([...PLAIN, "delayed", "expired"]);
  for (const each of PLAIN) await persist(() => connection.send(work, each));
  await persist(() => connection.send(work, "delayed", { delay: 30 }));
  await persist(() => connection.send(lapsing, "expired", { expiration: 20 }));
  // Bad luck without end would be no fault of the library's: pauses grow with each failure.
  const ending = setTimeout(() => faults.armed = false, FAILING);
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const stop = new AbortController();
  const running = [work, dead].map((queue) =>
    consume(connection, queue, stop.signal, (payload) => {
      missing.delete(payload);
      if (missing.size === 0) resolve();
    })
  );
  try {
    await arrives(all, "the last message", 3 * PATIENCE).catch((cause) => {
      throw new Error(`missing: ${[...missing].join(", ")}`, { cause });
    });
  } finally {
    clearTimeout(ending);
    stop.abort();
    await Promise.all(running);
    await connection.close();
  }
  const rows = transport.databases.get("x")?.rows ?? new Map();
  for (const [id, { revision, fields }] of rows) {
    if (!id.startsWith("m/") || isReady(revision)) continue;
    const holder = String(fields?.holder);
    assert(holder.startsWith(LEASES));
    assert(rows.has(holder), `${id} is held by a lease that nobody has`);
  }
  return faults.calls;
}

async function goThrough(
  plans: readonly (readonly [string, Plan])[],
  isTold: boolean,
): Promise<void> {
  const left = [...plans];
  const wrong: string[] = [];
  const work = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const [name, plan] = next;
      await go(plan, isTold).catch((error) => {
        wrong.push(`${name}: ${error.message}`);
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  assert(wrong.length === 0, wrong.join("\n"));
}

for (const isTold of [true, false]) {
  const kind = isTold ? "tells what changes" : "is asked again and again";
  for (const way of WAYS) {
    Deno.test(`a database that ${kind} fails once in each of its calls: ${way}`, async () => {
      const plans = Array.from({ length: CALLS }, (_, at) =>
        [
          `call ${at + 1}`,
          (n: number) => n === at + 1 ? way : undefined,
        ] as const);
      await goThrough(plans, isTold);
    });
  }
  Deno.test(`a database that ${kind} fails in each tenth of its calls, by chance`, async () => {
    const plans = Array.from({ length: AT_ONCE }, (_, seed) => {
      const chance = chanceOf(seed + 1);
      const plan = () =>
        chance() < 0.1 ? WAYS[Math.floor(chance() * WAYS.length)] : undefined;
      return [`seed ${seed + 1}`, plan] as const;
    });
    await goThrough(plans, isTold);
  });
}
