/** The promises of the memory store below its channel. */

import { assert, assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import type { TopologyChange } from "../../../virtual/topology.ts";
import { TestClock } from "../../../testing/clock.ts";
import { message, QUEUE } from "../../support/stores.ts";

const DECLARED: TopologyChange = {
  type: "queue-declared",
  queue: QUEUE,
  owner: undefined,
};

async function opened() {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const store = new MemoryStore(broker, { clock });
  const apply = async (change: TopologyChange) => {
    const { version } = await store.topology.read({ type: "queue", name: "q" });
    await store.topology.apply([change], version);
  };
  await apply(DECLARED);
  const put = ({ delay = 0, ttl }: { delay?: number; ttl?: number } = {}) =>
    store.messages.put([{
      queue: "q",
      message: { ...message("", "q"), delay },
      ttl,
    }]);
  const take = async (limit: number) => {
    const wants = [{ queue: "q", limit }];
    return (await store.messages.reserve(wants, { wait: 0 })).reservations;
  };
  return { broker, clock, store, apply, put, take };
}

Deno.test("memory: a call that is aborted right after a message has come leaves it to others", async () => {
  const { store, put, take } = await opened();
  const abort = new AbortController();
  const waiting = store.messages.reserve([{ queue: "q", limit: 1 }], {
    wait: 1000,
    signal: abort.signal,
  });
  const told = waiting.then(() => "taken", () => "aborted");
  const putting = put();
  abort.abort(new Error("enough"));
  await putting;
  const [settled, left] = [await told, await take(10)];
  assertEquals([settled, left.length], ["aborted", 1]);
  await store[Symbol.asyncDispose]();
});

Deno.test("memory: the time to live of a delayed message begins when it is due", async () => {
  const { clock, store, put } = await opened();
  await put({ delay: 100, ttl: 50 });
  clock.pass(99);
  assertEquals(await store.messages.count("q"), 0);
  clock.pass(1);
  assertEquals(await store.messages.count("q"), 1);
  clock.pass(49);
  assertEquals(await store.messages.count("q"), 1);
  clock.pass(1);
  assertEquals(await store.messages.count("q"), 0);
  await store[Symbol.asyncDispose]();
});

Deno.test("memory: the messages that are named are put back out of quarantine, and all of it goes with its queue", async () => {
  const { store, apply, put, take } = await opened();
  for (let i = 0; i < 3; i++) await put();
  await store.quarantine.add(await take(3));
  const [first, second, third] = await store.quarantine.list("q", 10);
  assert(first !== undefined && second !== undefined && third !== undefined);
  assertEquals(await store.quarantine.putBack("q", [second.handle, "none"]), 1);
  assertEquals(await store.messages.count("q"), 1);
  assertEquals(
    (await store.quarantine.list("q", 10)).map(({ handle }) => handle),
    [first.handle, third.handle],
  );
  assertEquals((await store.quarantine.list("q", 1)).length, 1);
  await apply({ type: "queue-deleted", name: "q", ifEmpty: false });
  await apply(DECLARED);
  assertEquals(await store.quarantine.list("q", 10), []);
  assertEquals(await store.quarantine.putBack("q", undefined), 0);
  await turn();
  await store[Symbol.asyncDispose]();
});

Deno.test("memory: messages that a store holds when it ends go back to their queues, marked", async () => {
  const { store, broker, clock, put, take } = await opened();
  await put();
  await put();
  assertEquals((await take(2)).length, 2);
  await store[Symbol.asyncDispose]();
  const other = new MemoryStore(broker, { clock });
  const wants = [{ queue: "q", limit: 3 }];
  const { reservations } = await other.reserve(wants, { wait: 0 });
  assertEquals(reservations.map((each) => each.redelivered), [true, true]);
  await other[Symbol.asyncDispose]();
});
