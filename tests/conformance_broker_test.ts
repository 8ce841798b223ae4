import { assert, assertEquals, assertRejects } from "@std/assert";
import { createTransport } from "../transports/memory/mod.ts";
import { isStoreTransport } from "../transports/store/mod.ts";
import { Broker, connect } from "./conformance/broker.ts";
import { withParts } from "./conformance/parts.ts";
import { soon } from "./conformance/support.ts";

Deno.test("what a case of the suite declared is removed though the first deletion fails, and that is told", async () => {
  const transport = createTransport();
  assert(isStoreTransport(transport));
  let isRefused = false;
  const failing = transport.wrapping((store) =>
    withParts(store, {}, (verb, call) => {
      if (!isRefused || verb !== "topology.apply") return call();
      isRefused = false;
      return Promise.reject(new Error("as it should"));
    })
  );
  const harness = {
    transport: failing,
    url: "memory://conformance-broker",
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  await using looking = await connect({ ...harness, transport });
  const channel = await looking.openChannel(soon());
  const broker = await Broker.open(harness);
  const [kept, gone] = [await broker.queue(), await broker.queue()];
  const exchange = await broker.exchange("direct");
  isRefused = true;
  await assertRejects(
    () => broker[Symbol.asyncDispose](),
    Error,
    "as it should",
  );
  assertEquals((await channel.checkQueue(kept, soon())).messageCount, 0);
  await assertRejects(() => channel.checkQueue(gone, soon()));
  const other = await looking.openChannel(soon());
  await assertRejects(() => other.checkExchange(exchange, soon()));
});
