/** A user's channel, which passes on what a transport's can. */

import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";

Deno.test("a channel lists what is in quarantine, where the broker has one", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  await connection.declare(new Queue("q"));
  const channel = await connection.channel();
  const found = await channel.listQuarantined?.("q", { limit: 10 });
  assertEquals(found, []);
});
