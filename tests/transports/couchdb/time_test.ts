/** The time on CouchDB is the server's, and a publisher's clock that is ahead hides nothing. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { Limits } from "../../../async/limits.ts";
import { Database } from "../../../transports/records/database.ts";
import { endOf, IdMaker, rangeOf } from "../../../transports/records/ids.ts";
import { openRecords } from "../../support/couchdb.ts";

const given = Deno.env.get("DASHI_TEST_COUCHDB_URL");
const reason = given === undefined
  ? ` (${Deno.env.get("DASHI_TEST_COUCHDB_REASON") ?? "there is no broker"})`
  : "";
const HOUR = 3_600_000;

Deno.test("couchdb: no two ids are one, within a millisecond and on a clock with fractions", () => {
  const maker = new IdMaker();
  const place = { queue: "q", priority: 0, delay: 0, ttl: undefined };
  const ids = Array.from(
    { length: 100 },
    (_, i) => maker.next(place, 1_700_000_000_000 + i / 20),
  );
  assertEquals(new Set(ids).size, ids.length);
  assertEquals(ids.toSorted(), ids);
});

for (const way of ["get", "consume"] as const) {
  Deno.test({
    name:
      `couchdb: ${way}() finds what a server wrote whose clock is an hour ahead${reason}`,
    ignore: given === undefined,
    fn: () => findsAhead(given ?? "", way),
  });
}

async function findsAhead(
  url: string,
  way: "get" | "consume",
): Promise<void> {
  await using connection = createConnection(url);
  const name = `ahead-${crypto.randomUUID()}`;
  const queue = new Queue(name);
  const producer = connection.producer<string>({ declare: [queue] });
  await producer.publish("later", { routingKey: name, delay: HOUR / 2 });
  await producer.publish("now", { routingKey: name });
  await moveAhead(url, name);
  const abort = new AbortController();
  const channel = await connection.channel();
  if (way === "get") {
    const delivery = await channel.get(name);
    assert(delivery !== undefined, "it is there");
    assertEquals(new TextDecoder().decode(delivery.body), "now");
    await channel.ack(delivery.deliveryTag);
    assertEquals(await channel.get(name), undefined);
  } else {
    const signal = AbortSignal.any([
      abort.signal,
      AbortSignal.timeout(20_000),
    ]);
    for await (
      const message of connection.consumer<string>(queue, { signal })
    ) {
      assertEquals(message.payload, "now");
      await message.ack();
      break;
    }
  }
  await channel.deleteQueue(name);
}

/** Writes the message that is not delayed as a server would whose clock is an hour ahead. */
async function moveAhead(url: string, queue: string): Promise<void> {
  const records = await openRecords(url);
  const limits = new Limits(SYSTEM_CLOCK);
  const database = new Database(records, limits);
  const [start] = rangeOf(queue);
  const rows = await database.list("look", {
    start,
    end: endOf(start),
    limit: 10,
    withFields: true,
  });
  const row = rows.find(({ id }) => id.includes("-", start.length));
  assert(row !== undefined);
  const id = new IdMaker().next(
    { queue, priority: 0, delay: 0, ttl: undefined },
    records.now() + HOUR,
  );
  const { fields } = row;
  await database.write({ id, revision: undefined, fields, action: "move" });
  await database.remove("move", row);
  limits.end(() => new Error("ended"));
  await records[Symbol.asyncDispose]();
}
