import assert from "node:assert/strict";
import type { CallOptions } from "../../model/call_options.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Reservation, Store } from "../../transports/store/mod.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import type { Harness } from "./harness.ts";
import { withStore } from "./on_store.ts";
import { arrives, publishing, soon, unique } from "./support.ts";

/** The arguments of a verb: a queue of its own, and a way to take a message of it. */
interface Setting {
  readonly store: Store;
  readonly broker: Broker;
  readonly queue: string;
  take(): Promise<readonly Reservation[]>;
}

/** Calls a verb, where the store has it. */
type Call = (
  setting: Setting,
  limits: CallOptions,
) => Promise<(() => Promise<unknown> | undefined) | undefined>;

/** Verbs that are given reservations: taken first, so that there is something to do. */
function settling(
  verb: (store: Store) =>
    | ((all: readonly Reservation[], limits: CallOptions) => Promise<unknown>)
    | undefined,
): Call {
  return async ({ store, take }, limits) => {
    const call = verb(store);
    if (call === undefined) return undefined;
    const taken = await take();
    return () => call(taken, limits);
  };
}

const CALLS: Readonly<Record<string, Call>> = {
  "messages.count": ({ store, queue }, limits) =>
    Promise.resolve(() => store.messages.count(queue, limits)),
  "messages.purge": ({ store, queue }, limits) =>
    Promise.resolve(() => store.messages.purge(queue, limits)),
  "messages.put": ({ store, queue }, limits) =>
    Promise.resolve(() => {
      const message = publishing("", queue, "two");
      return store.messages.put([{ queue, message, ttl: undefined }], limits);
    }),
  "messages.reserve": ({ store, queue }, limits) =>
    Promise.resolve(() =>
      store.messages.reserve([{ queue, limit: 1 }], { ...limits, wait: 0 })
    ),
  "messages.remove": settling(({ messages }) => messages.remove.bind(messages)),
  "messages.release": settling(({ messages }) =>
    messages.release.bind(messages)
  ),
  "messages.renew": settling(({ messages }) => messages.renew?.bind(messages)),
  "messages.drop": settling(({ messages }) => messages.drop?.bind(messages)),
  "messages.promoteDue": ({ store, queue }, limits) =>
    Promise.resolve(() => store.messages.promoteDue?.([queue], limits)),
  "topology.read": ({ store, queue }, limits) =>
    Promise.resolve(() =>
      store.topology?.read({ type: "queue", name: queue }, limits)
    ),
  "topology.apply": async ({ store, queue }, limits) => {
    const of = { type: "queue", name: queue } as const;
    const view = await store.topology?.read(of, soon());
    const { version = "" } = view ?? {};
    const change = { type: "queue-deleted", name: queue } as const;
    return () =>
      store.topology?.apply([{ ...change, ifEmpty: false }], version, limits);
  },
  "topology.findQueue": ({ store }, limits) =>
    Promise.resolve(() => store.topology?.findQueue?.(unique("none"), limits)),
  "topology.readTogether": ({ store, queue }, limits) =>
    Promise.resolve(() =>
      store.topology?.readTogether?.([{ type: "queue", name: queue }], limits)
    ),
  "queues.create": ({ store, queue, broker }, limits) =>
    Promise.resolve(() =>
      store.queues?.create(broker.queueOf({ name: queue }), limits)
    ),
  "queues.delete": ({ store, queue }, limits) =>
    Promise.resolve(() => store.queues?.delete(queue, limits)),
  "broadcasts.send": async ({ store, broker }, limits) => {
    if (store.broadcasts === undefined) return undefined;
    const exchange = await broker.exchange("fanout");
    const message = publishing(exchange, "", "to all");
    return () => store.broadcasts?.send(exchange, message, limits);
  },
  "quarantine.add": settling(({ quarantine }) =>
    quarantine?.add.bind(quarantine)
  ),
  "quarantine.list": ({ store, queue }, limits) =>
    Promise.resolve(() => store.quarantine?.list(queue, 1, limits)),
  "quarantine.putBack": ({ store, queue }, limits) =>
    Promise.resolve(() => store.quarantine?.putBack(queue, undefined, limits)),
  "inspection.tables": ({ store }, limits) =>
    Promise.resolve(() => store.inspection?.tables?.(limits)),
  "inspection.names": ({ store }, limits) => {
    const names = store.inspection?.names?.(() => limits);
    return Promise.resolve(() => names?.[Symbol.asyncIterator]().next());
  },
  "inspection.look": ({ store, queue }, limits) =>
    Promise.resolve(() => store.inspection?.look([queue], limits)),
  "inspection.peek": ({ store, queue }, limits) =>
    Promise.resolve(() => store.inspection?.peek?.(queue, 1, limits)),
  "rates.admit": ({ store, queue }, limits) => {
    const rate = { limit: 1, interval: 1 };
    return Promise.resolve(() => store.rates?.admit(queue, "", rate, limits));
  },
};

/** So many rounds of microtasks, in which no socket answers. */
const ROUNDS = 100;

/** Names the outcome of a call: without an abort or a deadline it may do its work, and else it has to reject. */
async function outcomeOf(call: Promise<unknown>): Promise<unknown> {
  let settled: { readonly error: unknown } | undefined;
  const done = call.then(
    () => settled = { error: undefined },
    (error: unknown) => settled = { error },
  );
  for (let i = 0; i < ROUNDS; i++) await undefined;
  if (settled !== undefined) return settled.error;
  const { error } = await arrives(done, "the end of the call");
  return error ?? new Error("it was done all the same");
}

/** Calls each verb that a store has, on a queue of its own; says which did not go by its limits. */
async function checkAll(
  harness: Harness,
  limits: () => CallOptions,
  isRight: (error: unknown) => boolean,
): Promise<void> {
  await withStore(harness, async (store, broker) => {
    const wrong: string[] = [];
    for (const [name, call] of Object.entries(CALLS)) {
      const setting = await settingOf(store, broker);
      const calling = (await call(setting, limits()))?.();
      if (calling === undefined) continue;
      const error = await outcomeOf(calling);
      if (error !== undefined && !isRight(error)) {
        wrong.push(`${name}: ${error}`);
      }
    }
    assert.deepEqual(wrong, []);
  });
}

/** A queue with a message, and a way to take it. */
async function settingOf(store: Store, broker: Broker): Promise<Setting> {
  const queue = await broker.queue();
  await broker.put(queue, "one");
  await broker.untilCount(queue, 1);
  const wants = [{ queue, limit: 1 }];
  const take = async () => {
    const { deadline } = soon();
    while (performance.now() < deadline) {
      const { reservations } = await store.messages.reserve(wants, {
        deadline,
        wait: 0,
      });
      if (reservations.length > 0) return reservations;
    }
    throw new Error(`there is no message in queue "${queue}"`);
  };
  return { store, broker, queue, take };
}

const REASON = new Error("the case has aborted it");

/** A part gets all options of a call, and goes by them: a layer between that drops them is found. */
export const LIMITS_OF_PARTS: readonly ConformanceCase[] = [
  onHarness(
    "no verb of a store's parts waits for anything when its deadline has passed",
    (harness) =>
      checkAll(
        harness,
        () => ({ deadline: performance.now() - 1 }),
        // It is told before anything leaves: a caller may then try again without a second copy.
        (error) =>
          error instanceof TimeoutError && error.outcome === "not-sent",
      ),
    { wraps: true },
  ),
  onHarness(
    "no verb of a store's parts waits for anything when its signal is aborted",
    (harness) =>
      checkAll(
        harness,
        () => ({ signal: AbortSignal.abort(REASON) }),
        (error) => error === REASON,
      ),
    { wraps: true },
  ),
];
