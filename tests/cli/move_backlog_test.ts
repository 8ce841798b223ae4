import { assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { createTestBroker } from "@dashi/mq/testing";
import { Backlog } from "../../cli/move_backlog.ts";

Deno.test("a message that becomes due after the queue was found empty is moved", async () => {
  await using broker = createTestBroker();
  const { connection, clock } = broker;
  await connection.declare([new Queue("from"), new Queue("to")]);
  await connection.send("from", "soon", { delay: 900 });
  await using channel = await connection.channel();
  const backlog = new Backlog(channel, channel, {
    from: "from",
    to: "to",
    limit: Infinity,
    first: Infinity,
    inFlight: 10,
    goesUnused: false,
    rate: Infinity,
    wait: 0,
    dedupe: undefined,
    mandatory: true,
    checksUser: false,
    signal: new AbortController().signal,
    onWait: () => {},
    left: async () => {
      const { messageCount: ready } = await connection.queueStatus("from");
      await clock.advance(1000);
      return { ready };
    },
  });
  await backlog.runAll();
  assertEquals(backlog.counts.moved, 1);
  assertEquals((await connection.queueStatus("to")).messageCount, 1);
});
