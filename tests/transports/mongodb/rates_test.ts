/** Rates that hold over all processes, by the server's clock. */

import { assert, assertEquals } from "@std/assert";
import { type Database, onMongodb } from "../../support/mongodb.ts";

const RATES = "messages.rates";

/** When each of a queue and a key has begun, ms, in the order of their numbers. */
async function begunIn(database: Database, key: string): Promise<number[]> {
  const begun: number[] = [];
  for (const { _id, at } of await database.find(RATES)) {
    const [queue, of, number] = JSON.parse(String(_id));
    if (queue !== "q" || of !== key || number === undefined) continue;
    assert(at instanceof Date);
    begun[number] = at.getTime();
  }
  return begun;
}

onMongodb(
  "three connections that ask without a break are let in at the limit, and never above it in any interval, each with a number of its own",
  async (database) => {
    const rate = { limit: 10, interval: 100 };
    const opened = await Promise.all([1, 2, 3].map(() => database.connect()));
    let count = 0;
    const began = performance.now();
    await Promise.all(opened.map(async ({ store }) => {
      while (count < 30) {
        const delay = await store.rates.admit("q", "key", rate);
        if (delay === 0) count++;
        else assert(delay <= rate.interval + 1, `${delay}`);
      }
    }));
    assert(performance.now() - began >= 200);
    const begun = await begunIn(database, "key");
    assertEquals(begun.filter((at) => at > 0).length, count);
    assertEquals(begun.length, count);
    for (const [n, at] of begun.slice(rate.limit).entries()) {
      const before = begun[n] ?? NaN;
      assert(at - before > rate.interval, `11 within ${at - before} ms`);
    }
  },
);

onMongodb(
  "a process that has died before it told of its number stops no other, and another key has a count of its own",
  async (database) => {
    const { store: { rates } } = await database.connect();
    const rate = { limit: 2, interval: 60_000 };
    assertEquals(await rates.admit("q", "a", rate), 0);
    // As the dead one leaves it: number 1 is taken, and the count does not know.
    const now = await database.find(RATES, { _id: '["q","a"]' });
    const at = now[0]?.now;
    await database.insert(RATES, { _id: '["q","a",1]', at, until: at });
    const delay = await rates.admit("q", "a", rate);
    assert(delay > 0 && delay <= 60_001, `${delay}`);
    assertEquals((await begunIn(database, "a")).length, 2);
    assertEquals(await rates.admit("q", "b", rate), 0);
    assertEquals(await rates.admit("r", "a", rate), 0);
  },
);

onMongodb(
  "a limit goes on where the server's clock was set back, or what has begun was removed",
  async (database) => {
    const { store: { rates } } = await database.connect();
    const rate = { limit: 1, interval: 60_000 };
    assertEquals(await rates.admit("q", "", rate), 0);
    const later = new Date(Date.now() + 3_600_000);
    const collection = database.documents.collection<{ _id: string }>(RATES);
    await collection.updateOne({ _id: '["q","",0]' }, { $set: { at: later } });
    assertEquals(await rates.admit("q", "", rate), 0);
    assert(await rates.admit("q", "", rate) > 0);
    await collection.deleteOne({ _id: '["q",""]' });
    assert(await rates.admit("q", "", rate) > 0, "its count begins anew");
    await collection.deleteMany({});
    assertEquals(await rates.admit("q", "", rate), 0);
  },
);

onMongodb(
  "the server removes what has begun when it counts no more",
  async (database) => {
    const { store: { rates } } = await database.connect();
    const rate = { limit: 5, interval: 1000 };
    assertEquals(await rates.admit("q", "", rate), 0);
    const indexes = await database.documents.collection(RATES).indexes();
    const index = indexes.find(({ key }) => key.until === 1);
    assertEquals(index?.expireAfterSeconds, 0);
    for (const { until, at, now } of await database.find(RATES)) {
      assert(until instanceof Date);
      const since = at ?? now;
      assert(since instanceof Date);
      const kept = until.getTime() - since.getTime();
      assert(kept >= 60_000 && kept <= 3_700_000, `${kept} ms`);
    }
  },
);
