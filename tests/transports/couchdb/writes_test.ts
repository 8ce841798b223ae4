/** Writes that the server does not answer. */

import { assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { Limits } from "../../../async/limits.ts";
import { turn } from "../../../async/turn.ts";
import { Database } from "../../../transports/records/database.ts";
import { openRecords } from "../../support/couchdb.ts";
import { Proxy } from "../../support/proxy.ts";

const given = Deno.env.get("DASHI_TEST_COUCHDB_URL");
const reason = Deno.env.get("DASHI_TEST_COUCHDB_REASON") ??
  "there is no broker";

Deno.test({
  name: `couchdb: a write that has not left by its deadline never leaves${
    given === undefined ? ` (${reason})` : ""
  }`,
  ignore: given === undefined,
  fn: () => writeIntoSilence(given ?? ""),
});

async function writeIntoSilence(url: string): Promise<void> {
  await using proxy = Proxy.to(url);
  const records = await openRecords(proxy.urlOf(url));
  const limits = new Limits(SYSTEM_CLOCK);
  const database = new Database(records, limits);
  const ids = Array.from({ length: 4 }, () => `x/${crypto.randomUUID()}`);
  proxy.stall();
  const outcomes = ids.map(async (id, i) => {
    // Each in a turn of its own: two requests go out, and the third waits.
    for (let n = 0; n < i; n++) await turn();
    const controller = new AbortController();
    const options = i === 3
      ? { signal: controller.signal }
      : { deadline: performance.now() + 200 };
    const draft = { id, revision: undefined, fields: {}, action: "write" };
    const writing = database.write(draft, options);
    if (i === 3) setTimeout(() => controller.abort("enough"), 100);
    return await writing.catch((error) => error.outcome ?? error);
  });
  assertEquals(await Promise.all(outcomes), [
    "unknown",
    "unknown",
    "not-sent",
    "enough",
  ]);
  // The first two are cut off; whatever waits behind them would leave now.
  proxy.heal();
  const closed = await records.closed;
  assertEquals(closed.type, "lost");
  limits.end(() => new Error("ended"));
  const later = await openRecords(url);
  assertEquals(await later.read(ids, { action: "look" }), []);
  await later[Symbol.asyncDispose]();
  await records[Symbol.asyncDispose]();
}
