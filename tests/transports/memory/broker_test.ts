import { assert, assertEquals } from "@std/assert";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { Kept } from "../../../transports/memory/kept.ts";
import { MemoryQueue } from "../../../transports/memory/queue.ts";
import { Slab } from "../../../model/slab.ts";
import { TestClock } from "../../../testing/clock.ts";
import { messageTo } from "../../support/redis_transport.ts";
import { QUEUE } from "../../support/stores.ts";
import type { FieldTable } from "../../../model/field_table.ts";

const KEPT = new Kept(messageTo("", "q"), new Slab());

/** A clock that counts how often it is looked at: once for each queue that is. */
class CountingClock extends TestClock {
  looks = 0;

  override now(): number {
    this.looks++;
    return super.now();
  }
}

async function declare(
  broker: MemoryBroker,
  name: string,
  arguments_: FieldTable,
) {
  const { version } = await broker.tables.read();
  await broker.tables.apply([{
    type: "queue-declared",
    queue: { ...QUEUE, name, arguments: arguments_ },
    owner: undefined,
  }], version);
  const queue = broker.queue(name);
  assert(queue !== undefined);
  return queue;
}

/** How often the clock is looked at while messages go through a queue beside `count` others. */
async function looksBeside(
  count: number,
  declared: FieldTable,
): Promise<number> {
  const clock = new CountingClock();
  const broker = new MemoryBroker(clock);
  for (let i = 0; i < count; i++) {
    const queue = await declare(broker, `other${i}`, declared);
    broker.put(queue, KEPT, {
      dueAt: 0,
      expiresAt: 10_000 + i,
      deliveryCount: 0,
    });
  }
  const plain = await declare(broker, "plain", {});
  const before = clock.looks;
  for (let i = 0; i < 100; i++) {
    const listener = () => {};
    broker.listen("plain", listener);
    assert(broker.routes !== "");
    broker.put(plain, KEPT);
    assertEquals(plain.take()?.message, KEPT);
    assertEquals(broker.takeExpired(), undefined);
    broker.forget("plain", listener);
  }
  return clock.looks - before;
}

const TIMED: Readonly<Record<string, FieldTable>> = {
  "whose messages expire": { "x-dead-letter-exchange": "" },
  "that expire": { "x-expires": 60_000 },
};

for (const [name, declared] of Object.entries(TIMED)) {
  Deno.test(`memory: a message costs the same beside a thousand other queues ${name}`, async () => {
    assertEquals(
      await looksBeside(1000, declared),
      await looksBeside(10, declared),
    );
  });
}

Deno.test("memory: messages of many queues expire each in its time, and what nobody uses goes", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const put = (name: string, expiresAt: number) => {
    const queue = broker.queue(name);
    assert(queue !== undefined);
    broker.put(queue, KEPT, { dueAt: 0, expiresAt, deliveryCount: 0 });
  };
  for (const name of ["a", "b", "c"]) {
    await declare(broker, name, { "x-dead-letter-exchange": "" });
  }
  await declare(broker, "unused", { "x-expires": 25 });
  put("a", 30);
  put("b", 20);
  put("c", 10);
  put("a", 15); // behind the one that lives longer: it goes with it
  const seen: string[] = [];
  let woken = 0;
  broker.listen("none", () => woken++);
  for (let time = 0; time <= 40; time += 5) {
    for (
      let gone = broker.takeExpired();
      gone !== undefined;
      gone = broker.takeExpired()
    ) seen.push(`${gone.queue.name}@${time}`);
    assertEquals(broker.queue("unused") !== undefined, time < 25);
    assert(broker.routes !== "");
    clock.pass(5);
    assert(broker.routes !== "");
  }
  assertEquals(seen, ["c@10", "b@20", "a@30", "a@30"]);
  assert(woken > 0);
});

Deno.test("memory: delays in any order cost the logarithm of how many wait", () => {
  // At a cost that grew with what waits, these would take hours.
  const count = 200_000;
  const queue = new MemoryQueue("q", {}, 0);
  for (let sequence = 0; sequence < count; sequence++) {
    const dueAt = 1 + (sequence * 7919) % count;
    queue.push(
      { message: KEPT, sequence, expiresAt: Infinity, dueAt, deliveryCount: 0 },
      0,
    );
  }
  queue.pass(count);
  let last = 0;
  for (let i = 0; i < count; i++) {
    const dueAt = queue.take()?.dueAt ?? 0;
    assert(dueAt >= last);
    last = dueAt;
  }
  assertEquals([queue.size, queue.nextAt()], [0, Infinity]);
});

Deno.test("memory: a delayed message that is moved expires in its new time, though nobody waits for its queue", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const queue = await declare(broker, "q", { "x-dead-letter-exchange": "" });
  const properties = { messageId: "m" };
  const kept = new Kept({ ...messageTo("", "q"), properties }, new Slab());
  const times = { dueAt: 60_000, expiresAt: 60_010 };
  broker.put(queue, kept, { ...times, deliveryCount: 0 });
  let woken = 0;
  broker.listen("dead letters", () => woken++);
  assert(broker.changeDelayed(queue, "m", 20));
  clock.pass(29);
  assertEquals([broker.takeExpired(), woken], [undefined, 0]);
  clock.pass(1);
  assertEquals(broker.takeExpired()?.item.message, kept);
  assert(woken > 0);
});

Deno.test("what is told to wait for its rate is not counted: it may begin when it was told", () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const admit = () => broker.admit("q", { limit: 1, interval: 1000 });
  assertEquals([admit(), admit(), admit()], [0, 1000, 1000]);
  clock.pass(500);
  assertEquals(admit(), 500);
  clock.pass(500);
  assertEquals([admit(), admit()], [0, 1000]);
});
