import { assertEquals, assertRejects } from "@std/assert";
import { createTransport } from "../transports/memory/mod.ts";
import type { Connection } from "@dashi/mq";
import type { Harness } from "./conformance/harness.ts";
import { onStage, open } from "./conformance/stage.ts";

Deno.test("connections that a failed case of the suite left open are closed, and work beside no other", async () => {
  const harness: Harness = {
    transport: createTransport(),
    url: "memory://stage",
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const left: Connection[] = [];
  const { run } = onStage("fails", async (stage, harness) => {
    const queue = stage.queue();
    const worker = open(harness);
    left.push(worker);
    await worker.declare(queue);
    void worker.consumer(queue).run(() => {});
    throw new Error("as it should");
  });
  await assertRejects(() => run(harness), Error, "as it should");
  assertEquals(left.map(({ state }) => state.type), ["closed"]);
});
