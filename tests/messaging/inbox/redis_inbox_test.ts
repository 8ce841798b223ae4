/** The inbox on a real Redis. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Redis } from "ioredis";
import {
  createRedisInbox,
  type InboxCall,
  type RedisInbox,
} from "../../../messaging/inbox/redis_inbox.ts";
import { until } from "../../conformance/support.ts";

const URL = Deno.env.get("DASHI_TEST_REDIS_URL");
const CALL: InboxCall = {
  signal: new AbortController().signal,
  onError: (error) => {
    throw error;
  },
};

/** Registers a test with a client, and a prefix whose keys are removed after it. */
function onRedis(
  name: string,
  run: (client: Redis, prefix: string, url: string) => Promise<void>,
): void {
  Deno.test({
    name: `inbox on Redis: ${name}${
      URL === undefined ? " (there is no broker)" : ""
    }`,
    ignore: URL === undefined,
    fn: async () => {
      const client = new Redis(URL ?? "");
      const prefix = `dashi.inbox.test.${crypto.randomUUID()}.`;
      try {
        await run(client, prefix, URL ?? "");
      } finally {
        const keys = await client.keys(`${prefix}*`);
        if (keys.length > 0) await client.del(...keys);
        await client.quit();
      }
    },
  });
}

onRedis(
  "a message that was handled is known to others, with a time to live, by each kind of client",
  async (client, prefix, url) => {
    const options = { window: 60_000, prefix };
    await using own = createRedisInbox(url, options);
    const inboxes: readonly RedisInbox[] = [
      own,
      createRedisInbox(client, options),
      createRedisInbox(
        (script, key, args) => client.eval(script, 1, key, ...args),
        options,
      ),
    ];
    let works = 0;
    const work = () => {
      works++;
      return Promise.resolve();
    };
    for (const [i, inbox] of inboxes.entries()) {
      assertEquals(await inbox.handle(`q ${i}`, work, CALL), "handled");
      for (const other of inboxes) {
        assertEquals(await other.handle(`q ${i}`, work, CALL), "duplicate");
      }
      const left = await client.pttl(`${prefix}q ${i}`);
      assert(left > 50_000 && left <= 60_000, `${left}`);
    }
    assertEquals(works, 3);
  },
);

onRedis(
  "a second copy waits while the first is handled, whose claim is renewed, and is handled if that fails",
  async (client, prefix) => {
    const options = { window: 60_000, lease: 6000, prefix };
    const [one, other] = [
      createRedisInbox(client, options),
      createRedisInbox(client, options),
    ];
    const failing = Promise.withResolvers<void>();
    const first = one.handle("k", () => failing.promise, CALL);
    first.catch(() => {});
    while (await client.exists(`${prefix}k`) === 0) await client.ping();
    let isCalled = false;
    const second = other.handle("k", () => {
      isCalled = true;
      return Promise.resolve();
    }, CALL);
    let left = Infinity;
    await until(async () => {
      const before = left;
      left = await client.pttl(`${prefix}k`);
      return left > before;
    }, "a claim that is renewed");
    assertEquals(isCalled, false);
    failing.reject(new TypeError("no"));
    await assertRejects(() => first, TypeError, "no");
    assertEquals(await second, "handled");
    assertEquals(isCalled, true);
  },
);

onRedis(
  "a message that a process held that is gone is handled when its lease is over",
  async (client, prefix) => {
    const inbox = createRedisInbox(client, { window: 60_000, prefix });
    const began = performance.now();
    await client.set(`${prefix}k`, "the token of the dead", "PX", 300);
    assertEquals(
      await inbox.handle("k", () => Promise.resolve(), CALL),
      "handled",
    );
    assert(performance.now() - began >= 299);
  },
);

onRedis(
  "a holder whose lease was over takes nothing from the next one",
  async (client, prefix) => {
    const options = { window: 60_000, prefix };
    const inbox = createRedisInbox(client, options);
    for (const ends of ["returns", "throws"]) {
      const key = `k ${ends}`;
      const handling = inbox.handle(key, async () => {
        await client.set(prefix + key, "the next one's token");
        if (ends === "throws") throw new TypeError("no");
      }, CALL);
      await handling.catch(() => {});
      assertEquals(await client.get(prefix + key), "the next one's token");
    }
  },
);

onRedis(
  "it goes on when its connection was lost",
  async (client, prefix, url) => {
    await using inbox = createRedisInbox(url, { window: 60_000, prefix });
    const call = { ...CALL, onError: () => {} };
    const work = async () => {
      // Its own connection alone has this name, and this database's other tests have others.
      for (
        const line of String(await client.call("CLIENT", "LIST")).split("\n")
      ) {
        const [, id] = /^id=(\d+) /.exec(line) ?? [];
        if (!line.includes("name=dashi-inbox ")) continue;
        await client.call("CLIENT", "KILL", "ID", id ?? "");
      }
    };
    assertEquals(await inbox.handle("k", work, call), "handled");
    assertEquals(await client.get(`${prefix}k`), "done");
  },
);

Deno.test("an inbox whose Redis is away tells so, waits until nobody does, and closes", async () => {
  // Nobody listens there.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  const inbox = createRedisInbox(`redis://127.0.0.1:${port}`, { window: 1000 });
  const stop = new AbortController();
  const told: Error[] = [];
  const handling = inbox.handle("k", () => Promise.reject("called"), {
    signal: stop.signal,
    onError: (error) => {
      if (told.push(error) === 2) stop.abort(new Error("enough"));
    },
  });
  await assertRejects(() => handling, Error, "enough");
  const text = told[0]?.message ?? "";
  assert(text.startsWith("Cannot ask the inbox on Redis: "), text);
  assert(text.includes("ECONNREFUSED"), text);
  await inbox.close();
  await inbox.close();
});

Deno.test("an inbox on Redis is refused times that its keys cannot have", () => {
  for (const times of [{ window: Infinity }, { window: 1, lease: Infinity }]) {
    assertThrows(
      () => createRedisInbox("redis://localhost", times),
      RangeError,
      "Cannot use Infinity",
    );
  }
});

Deno.test("an inbox is refused a value that is no Redis", () => {
  for (const wrong of ["localhost", 7, undefined, {}]) {
    assertThrows(
      () => createRedisInbox(wrong as string, { window: 1 }),
      Error,
      "redis://",
    );
  }
});
