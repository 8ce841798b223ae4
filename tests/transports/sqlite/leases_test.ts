import { assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { SqlStore } from "../../../transports/sql/store.ts";
import { Works } from "../../../transports/sql/works.ts";
import { openMemory } from "../../support/sqlite_memory.ts";

Deno.test("a message that is taken long after its connection was made stays with it for its time", async () => {
  let elapsed = 0;
  const clock = { ...SYSTEM_CLOCK, wall: () => 1e12 + elapsed };
  await using database = await openMemory(clock);
  const works = new Works(database, clock);
  const connect = async (owner: string) => {
    const options = { clock, owner, operationTimeout: 9000, lease: 1000 };
    const store = new SqlStore(database, works, options);
    await store.open({});
    return store;
  };
  const [first, second] = [await connect("first"), await connect("second")];
  const take = async (store: SqlStore) => {
    const wants = [{ queue: "orders", limit: 1 }];
    const options = { wait: 0, deadline: clock.now() + 9000 };
    return (await store.messages.reserve(wants, options)).reservations;
  };
  const { version } = await first.topology.read({
    type: "queue",
    name: "orders",
  });
  const queue = {
    name: "orders",
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
  await first.topology.apply(
    [{ type: "queue-declared", queue, owner: undefined }],
    version,
  );
  const message = {
    exchange: "",
    routingKey: "orders",
    mandatory: false,
    delay: 0,
    properties: {},
    body: new Uint8Array([1]),
  };
  await first.messages.put([{ queue: "orders", message, ttl: undefined }]);

  elapsed = 900;
  assertEquals((await take(first)).length, 1);
  elapsed = 1300; // more than the connection was given, less than the message was
  assertEquals((await take(second)).length, 0);
  elapsed = 1901;
  assertEquals((await take(second)).length, 1);
  for (const each of [first, second]) await each[Symbol.asyncDispose]();
  works.end();
});
