import assert from "node:assert/strict";
import type { CallOptions } from "../../model/call_options.ts";
import type { Reservation, Store } from "../../transports/store/mod.ts";
import type { Channel, Delivery } from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import { withStore } from "./on_store.ts";
import { appears, arrives, publishing, soon, textOf } from "./support.ts";

/**
 * How long the end of a lease is waited for, ms. A store may renew by itself what its
 * connections hold, or have no short leases: of these the case says nothing.
 */
const LEASE_PATIENCE = 10_000;

/** Takes the message of a queue. */
function take(store: Store, queue: string): Promise<Reservation> {
  return appears(async () => {
    const { reservations } = await store.messages.reserve(
      [{ queue, limit: 1 }],
      { ...soon(), wait: 0 },
    );
    return reservations[0];
  }, `a message in queue "${queue}"`);
}

/** Puts a message in the place of another. */
async function putInstead(
  store: Store,
  queue: string,
  instead: Reservation,
): Promise<string> {
  const message = publishing("", queue, "instead");
  const items = [{ queue, message, ttl: undefined }];
  const { type } = await store.messages.put(items, { ...soon(), instead });
  return type;
}

type Settle = (
  store: Store,
  old: Reservation,
) => Promise<readonly Reservation[]> | undefined;

/**
 * The verbs that are given reservations, and tell those that were no longer ours. `renew` is
 * not among them: a store may renew by one row all that its connection holds.
 */
const VERBS: Readonly<Record<string, Settle>> = {
  remove: ({ messages }, old) => messages.remove([old], soon()),
  release: ({ messages }, old) => messages.release([old], soon()),
  drop: ({ messages }, old) => messages.drop?.([old], soon()),
  "quarantine.add": ({ quarantine }, old) => quarantine?.add([old], soon()),
  "put instead": async (store, old) =>
    await putInstead(store, old.queue, old) === "lost" ? [old] : [],
};

/** Expects that a message is in a queue, for another connection, and nothing else. */
async function isAlone(
  channel: Channel,
  queue: string,
  what: string,
): Promise<void> {
  const found = await appears(() => channel.get(queue, soon()), what);
  assert.equal(textOf(found), "one", what);
  await channel.ack(found.deliveryTag, soon());
  assert.equal(textOf(await channel.get(queue, soon())), undefined, what);
}

/** A message that was given back, and is held again by the same connection. */
async function heldAgain(
  store: Store,
  broker: Broker,
): Promise<readonly [old: Reservation, current: Reservation]> {
  const queue = await broker.queue();
  await broker.put(queue, "one");
  const old = await take(store, queue);
  assert.deepEqual(await store.messages.release([old], soon()), []);
  return [old, await take(store, queue)];
}

/** Reserves, and aborts that when `when` says so; what it took all the same is given back. */
async function abortedReserve(
  store: Store,
  queue: string,
  when: (abort: () => void) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const reason = new Error("the case has aborted it");
  const limits: CallOptions = { ...soon(), signal: controller.signal };
  const wait = Math.min(store.limits.reserveWait, 5000);
  const reserving = store.messages.reserve([{ queue, limit: 1 }], {
    ...limits,
    wait,
  }).then(
    ({ reservations }) => reservations,
    (error: unknown) => {
      assert.equal(error, controller.signal.reason);
      return undefined;
    },
  );
  await when(() => controller.abort(reason));
  const taken = await arrives(reserving, "the end of an aborted reserve");
  if (taken === undefined || taken.length === 0) return;
  assert.deepEqual(await store.messages.release(taken, soon()), []);
}

/** Lets so many rounds of the event loop go by. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** A store goes by reservations: one that is over settles nothing, and an aborted call keeps none. */
export const RESERVING: readonly ConformanceCase[] = [
  onHarness(
    "a store's reservation that was given back settles nothing, though the same connection holds the message again",
    (harness) =>
      withStore(harness, async (store, broker) => {
        const elsewhere = await broker.openElsewhere();
        for (const [name, settle] of Object.entries(VERBS)) {
          const [old, current] = await heldAgain(store, broker);
          const lost = await settle(store, old);
          if (lost !== undefined) {
            assert.ok(lost.length === 1 && lost[0] === old, name);
          }
          const { queue } = current;
          assert.deepEqual(
            await store.messages.release([current], soon()),
            [],
            name,
          );
          await isAlone(elsewhere.channel, queue, name);
        }
      }),
    { wraps: true },
  ),
  onHarness(
    "a store's reservation whose lease is over settles nothing, and nothing is put in its place",
    (harness) =>
      withStore(harness, async (store, broker) => {
        const { lease = Infinity } = store.limits;
        const isShort = Object.keys(harness.transportOptions ?? {}).length > 0;
        if (lease > LEASE_PATIENCE || !isShort) return;
        const elsewhere = await broker.openElsewhere();
        const all = await Promise.all(
          Object.entries(VERBS).map(async ([name, settle]) => {
            const queue = await broker.queue();
            await broker.put(queue, "one");
            return { name, settle, queue, old: await take(store, queue) };
          }),
        );
        const end = performance.now() + LEASE_PATIENCE;
        for (const { name, settle, queue, old } of all) {
          let found: Delivery | undefined;
          while (found === undefined && performance.now() < end) {
            found = await elsewhere.channel.get(queue, soon());
            if (found === undefined) {
              await new Promise((resolve) => setTimeout(resolve, 50));
            }
          }
          if (found === undefined) return;
          const lost = await settle(store, old);
          if (lost !== undefined) {
            assert.ok(lost.length === 1 && lost[0] === old, name);
          }
          await elsewhere.channel.reject(found.deliveryTag, {
            requeue: true,
            ...soon(),
          });
          await isAlone(elsewhere.channel, queue, name);
        }
      }),
    { wraps: true, kills: true },
  ),
  onHarness(
    "a store's reserve that is aborted keeps no message, whenever the answer comes",
    (harness) =>
      withStore(harness, async (store, broker) => {
        const elsewhere = await broker.openElsewhere();
        for (const count of [0, 1, 2, 3, 5, 8]) {
          const queue = await broker.queue();
          await broker.put(queue, "one");
          await abortedReserve(store, queue, async (abort) => {
            await turns(count);
            abort();
          });
          await isAlone(elsewhere.channel, queue, `after ${count} turns`);
        }
        for (const count of [0, 1, 5]) {
          const queue = await broker.queue();
          await abortedReserve(store, queue, async (abort) => {
            await turns(count);
            const putting = broker.put(queue, "one");
            if (count === 0) abort();
            await putting;
            abort();
          });
          await isAlone(elsewhere.channel, queue, `put after ${count} turns`);
        }
      }),
    { wraps: true },
  ),
];
