/** Processes of 0.1.0 beside those of this version, and the layout's version. */

import { assertEquals, assertRejects } from "@std/assert";
import { Queue } from "@dashi/mq";
import { PreconditionFailedError } from "../../../model/errors.ts";
import { connectTo, envelope, pause, Raw, test } from "../../support/redis.ts";
import {
  type Line,
  Predecessor,
  whyNoPredecessor,
} from "../../support/rolling.ts";
import { upgrade } from "../../support/upgrades.ts";

const why = whyNoPredecessor();

test(
  "0.1.0 and this version publish to each other, and none is lost while each is started anew",
  (server) => upgrade(server.url),
  { reason: why, patience: 180_000 },
);

test(
  "messages that are published by PUB/SUB for a killed consumer of 0.1.0 come into its queue once, and those that it has got do not come again",
  async (server) => {
    await using raw = new Raw(server.port);
    const versions = await Predecessor.unpack();
    const at = { url: server.url, exchange: "news", type: "fanout" } as const;
    const consume = { ...at, mode: "consume" } as const;
    await using old = versions.start("0.1.0", { ...consume, queue: "old" });
    await using young = versions.start("this one", {
      ...consume,
      queue: "new",
    });
    await Promise.all([old.ready(), young.ready()]);
    const owner = await ownerOf(raw, "old");
    const publish = (text: string) =>
      raw.send("PUBLISH", "/0.news", envelope(text));
    const has = (text: string) => (lines: readonly Line[]) =>
      lines.some(({ got }) => got === text);
    await publish("before");
    await Promise.all([old.until(has("before")), young.until(has("before"))]);
    // It says that it lives, between two looks: so it has got it.
    const looks = async () =>
      Number(
        /cmdstat_zmscore:calls=(\d+)/
          .exec(String(await raw.send("INFO", "commandstats")))?.[1] ?? 0,
      );
    while (await looks() < 1) await pause(10);
    await raw.send("ZINCRBY", "dashi.owners", 1, owner);
    const seen = await looks();
    while (await looks() === seen) await pause(10);
    await old.kill();
    await publish("behind");
    await young.until(has("behind"));
    assertEquals(await raw.number("LLEN", "old"), 0);
    // The end of its time, which is half a minute later.
    await raw.send("ZADD", "dashi.owners", 1, owner);
    await using heir = versions.start("this one", { ...consume, queue: "old" });
    await heir.until(has("behind"));
    await publish("last");
    await Promise.all([heir.until(has("last")), young.until(has("last"))]);
    const texts = (lines: readonly Line[]) =>
      lines.filter(({ got }) => got !== undefined)
        .map(({ got, redelivered }) => [got, redelivered]);
    assertEquals(texts(old.lines), [["before", false]]);
    // The dead one is noted as the queue's consumer for a while: what comes then may be marked, too.
    assertEquals(texts(heir.lines)[0], ["behind", true]);
    assertEquals(texts(heir.lines).map(([got]) => got), ["behind", "last"]);
    assertEquals(
      texts(young.lines),
      ["before", "behind", "last"].map((text) => [text, false]),
    );
  },
  { reason: why, patience: 180_000 },
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

/** The owner of a queue's only consumer. */
async function ownerOf(raw: Raw, queue: string): Promise<string> {
  const [consumer] = JSON.parse(
    String(await raw.send("HGET", "dashi.topology", `consumers ${queue}`)),
  );
  return consumer.owner;
}
