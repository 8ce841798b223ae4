/** Processes of 0.1.0 beside those of this version, and the layout's version. */

import { assertEquals, assertRejects } from "@std/assert";
import { Queue } from "@dashi/mq";
import { PreconditionFailedError } from "../../../model/errors.ts";
import { connectTo, Raw, test } from "../../support/redis.ts";
import { whyNoPredecessor } from "../../support/rolling.ts";
import { upgrade } from "../../support/upgrades.ts";

const why = whyNoPredecessor();

test(
  "0.1.0 and this version publish to each other, and none is lost while each is started anew",
  (server) => upgrade(server.url),
  { reason: why },
);

test("the tables carry the layout's version, and another one is refused before anything is written", async (server) => {
  await using raw = new Raw(server.port);
  await using early = connectTo(server.url);
  await early.declare([new Queue("q")]);
  assertEquals(await raw.send("HGET", "dashi.topology", "layout"), "1");
  await raw.send("HSET", "dashi.topology", "layout", "2");
  const dump = async () => [
    ...(await raw.texts("KEYS", "*")).toSorted(),
    ...await raw.texts("HGETALL", "dashi.topology"),
    ...await raw.texts("LRANGE", "q", 0, -1),
    ...await raw.texts("ZRANGE", "dashi.owners", 0, -1),
  ];
  const before = await dump();
  const text =
    "Cannot use the database: its keys have layout 2, and this version of the library knows layout 1; upgrade this process";
  const refuses = (call: () => Promise<unknown>) =>
    assertRejects(call, PreconditionFailedError, text);
  await using late = connectTo(server.url);
  await refuses(() => late.connect());
  // One that has connected before notices it with what it does next.
  await refuses(() => early.send("q", "x"));
  await refuses(() => early.declare([new Queue("other")]));
  assertEquals(await dump(), before);
});
