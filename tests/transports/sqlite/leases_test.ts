import { assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { SqlStore } from "../../../transports/sql/store.ts";
import { Works } from "../../../transports/sql/works.ts";
import { openMemory } from "../../support/sqlite_memory.ts";

/** Stores of one database, whose calendar is set by hand. */
async function shared() {
  const time = { elapsed: 0 };
  const clock = { ...SYSTEM_CLOCK, wall: () => 1e12 + time.elapsed };
  const database = await openMemory(clock);
  const works = new Works(database, clock);
  const stores: SqlStore[] = [];
  const connect = async (owner: string) => {
    const options = { clock, owner, operationTimeout: 9000, lease: 1000 };
    const store = new SqlStore(database, works, options);
    stores.push(store);
    await store.open({});
    return store;
  };
  const take = async (store: SqlStore) => {
    const wants = [{ queue: "orders", limit: 5 }];
    const options = { wait: 0, deadline: clock.now() + 9000 };
    return (await store.messages.reserve(wants, options)).reservations;
  };
  const declare = async ({ topology }: SqlStore) => {
    const { version } = await topology.read({ type: "queue", name: "orders" });
    const queue = {
      name: "orders",
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    };
    await topology.apply(
      [{ type: "queue-declared", queue, owner: undefined }],
      version,
    );
  };
  const put = async ({ messages }: SqlStore) => {
    const message = {
      exchange: "",
      routingKey: "orders",
      mandatory: false,
      delay: 0,
      properties: {},
      body: new Uint8Array([1]),
    };
    await messages.put([{ queue: "orders", message, ttl: undefined }]);
  };
  return {
    time,
    connect,
    take,
    declare,
    put,
    async [Symbol.asyncDispose]() {
      for (const each of stores) await each[Symbol.asyncDispose]();
      works.end();
      await database[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a message that is taken long after its connection was made stays with it for its time", async () => {
  await using stage = await shared();
  const { time, connect, take } = stage;
  const [first, second] = [await connect("first"), await connect("second")];
  await stage.declare(first);
  await stage.put(first);

  time.elapsed = 900;
  assertEquals((await take(first)).length, 1);
  time.elapsed = 1300; // more than the connection was given, less than the message was
  assertEquals((await take(second)).length, 0);
  time.elapsed = 1901;
  assertEquals((await take(second)).length, 1);
});

Deno.test("connections that are made after the first one of all was given up hold what they take each for itself", async () => {
  await using stage = await shared();
  const { time, connect, take } = stage;
  const [first, second] = [await connect("first"), await connect("second")];
  await stage.declare(first);
  await stage.put(first);
  assertEquals((await take(first)).length, 1);
  time.elapsed = 1500; // what the first one held is given back
  assertEquals((await take(second)).length, 1);
  const [third, fourth] = [await connect("third"), await connect("fourth")];
  await stage.put(third);
  assertEquals((await take(third)).length, 1);
  time.elapsed = 2200; // the fourth is heard of, and the third is not
  assertEquals((await take(fourth)).length, 0);
  time.elapsed = 2600;
  assertEquals((await take(fourth)).length, 2);
});
