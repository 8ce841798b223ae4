/** The claim stores: what they keep, for how long, and from whom. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  createConnection,
  DecodeError,
  Exchange,
  OptionError,
  Queue,
  UnroutableError,
} from "@dashi/mq";
import {
  claimCheck,
  type ClaimStore,
  createFolderClaimStore,
  createMemoryClaimStore,
  encryption,
} from "@dashi/mq/middleware";
import { TestClock } from "../../../testing/clock.ts";

const BODY = new Uint8Array([1, 2, 3]);

async function inFolder(
  run: (path: string) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await run(`${path}/claims`);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

function namesIn(path: string): string[] {
  return Array.from(Deno.readDirSync(path), ({ name }) => name);
}

Deno.test("a folder that was removed is made again by the next body", async () => {
  await inFolder(async (path) => {
    const store = createFolderClaimStore(path);
    const gone = await store.put(BODY, { expiry: 60_000 });
    await Deno.remove(path, { recursive: true });
    assertEquals(await store.get(gone), undefined);
    const reference = await store.put(BODY, { expiry: 60_000 });
    assertEquals(await store.get(reference), BODY);
  });
});

for (const kind of ["memory", "folder"]) {
  Deno.test(`a store in ${kind} keeps a body until it is removed, or its time is over`, async () => {
    await inFolder(async (path) => {
      const clock = new TestClock();
      const store: ClaimStore = kind === "memory"
        ? createMemoryClaimStore(clock)
        : createFolderClaimStore(path, clock);
      const [one, two] = [
        await store.put(BODY, { expiry: 1000 }),
        await store.put(BODY, { expiry: 2000 }),
      ];
      assert(one !== two);
      assertEquals(await store.get(one), BODY);
      await store.remove(one);
      await store.remove(one);
      assertEquals(await store.get(one), undefined);
      await clock.advance(1999);
      assertEquals(await store.get(two), BODY);
      await clock.advance(1);
      assertEquals(await store.get(two), undefined);
    });
  });
}

Deno.test("a folder keeps no file longer than its time, nor one that a killed process was writing", async () => {
  await inFolder(async (path) => {
    const clock = new TestClock();
    const store = createFolderClaimStore(path, clock);
    assertEquals(await store.sweep(), 0); // it is not there yet
    const reference = await store.put(BODY, { expiry: 1000 });
    await Deno.writeFile(`${path}/${reference}.part`, BODY);
    await Deno.writeTextFile(`${path}/README`, "it is somebody else's");
    await clock.advance(61_000);
    await store.put(BODY, { expiry: 1000 }); // which sweeps
    assertEquals(namesIn(path).length, 2);
    assert(namesIn(path).includes("README"));
    await clock.advance(1000);
    assertEquals(await store.sweep(), 1);
    assertEquals(namesIn(path), ["README"]);
  });
});

Deno.test("a reference from a broker is no path", async () => {
  await inFolder(async (path) => {
    const store = createFolderClaimStore(path);
    await store.put(BODY, { expiry: 1000 });
    await Deno.writeTextFile(`${path}/../outside`, "secret");
    for (
      const bad of ["../outside", "", "/etc/hostname", "1-x/../../outside"]
    ) {
      assertEquals(await store.get(bad), undefined);
      await store.remove(bad);
    }
    assertEquals(await Deno.readTextFile(`${path}/../outside`), "secret");
  });
});

Deno.test("a store that fails has its message tried again, and a body that is gone has it parked", async () => {
  const store = createMemoryClaimStore();
  const fails = { left: 2 };
  await using connection = createConnection("memory://claims-fail", {
    onUnhandled: () => {},
  });
  const parked: unknown[] = [];
  connection.use({
    event: (event) => {
      if (event.type === "parked") parked.push(event.error);
    },
  });
  connection.use(claimCheck({
    over: 2,
    store: {
      put: store.put.bind(store),
      remove: store.remove.bind(store),
      get: (reference) =>
        fails.left-- > 0
          ? Promise.reject(new Error("the store is away"))
          : store.get(reference),
    },
  }));
  const queue = new Queue<Uint8Array>("claims");
  await connection.send(queue, BODY);
  const seen: number[] = [];
  const consumer = connection.consumer(queue);
  await consumer.run(({ attempt }) => {
    seen.push(attempt);
    void consumer.cancel();
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(seen, [3]);

  const reference = Promise.withResolvers<string>();
  connection.use({
    publish({ headers }, next) {
      reference.resolve(String(headers["x-claim"]));
      return next();
    },
  });
  await connection.send(queue, BODY);
  await store.remove(await reference.promise);
  const running = consumer.run(() => {
    throw new Error("it was called");
  });
  while (parked.length === 0) await new Promise((r) => setTimeout(r, 1));
  await consumer.cancel();
  await running;
  assert(parked[0] instanceof DecodeError);
});

Deno.test("a body whose message is surely nowhere is removed, and one that may be somewhere is not", async () => {
  const store = createMemoryClaimStore();
  await using connection = createConnection("memory://claims-nowhere");
  connection.use(claimCheck({ store, over: 2 }));
  await assertRejects(() => connection.send("no-such-queue", BODY));
  assertEquals(store.size, 0);
  connection.use({
    async publish(_, next) {
      await next();
      throw new Error("nobody knows");
    },
  });
  await assertRejects(() => connection.send(new Queue("somewhere"), BODY));
  assertEquals(store.size, 1);
});

Deno.test("the other order of encryption and claims is refused: bodies would lie there for all to read", async () => {
  const store = createMemoryClaimStore();
  await using connection = createConnection("memory://claims-order");
  connection.use(claimCheck({ store, over: 2 }))
    .use(encryption({ keys: { k: new Uint8Array(32) }, current: "k" }));
  await assertRejects(
    () => connection.send(new Queue("order"), BODY),
    OptionError,
    "use encryption before claimCheck",
  );
  assertEquals(store.size, 0);
});

Deno.test("a dead letter that lies in several queues keeps its body when one of them is redriven", async () => {
  const store = createMemoryClaimStore();
  await using connection = createConnection("memory://two-dead-letters");
  connection.use(claimCheck({ store, over: 2 }));
  const exchange = new Exchange("failed", { type: "fanout" });
  const failed = ["one", "two"].map((name) => new Queue(name, { exchange }));
  const queue = new Queue("claims", { deadLetterExchange: exchange.name });
  await connection.declare([...failed, queue]);
  await connection.send(queue, BODY);
  await using handle = connection.queue(queue);
  await (await handle.get())?.reject();
  await connection.redrive("one");
  const again = await handle.get();
  assertEquals(again?.payload, BODY);
  await again?.ack();
  await using other = connection.queue("two");
  assertEquals((await other.get())?.payload, BODY);
});

Deno.test("a store that returns no reference has nothing published: the body would be lost", async () => {
  for (const reference of [undefined, "", 7]) {
    await using connection = createConnection("memory://no-reference");
    const store = {
      put: () => Promise.resolve(reference),
      get: () => Promise.resolve(BODY),
      remove: () => Promise.resolve(),
    } as unknown as ClaimStore;
    connection.use(claimCheck({ store, over: 2 }));
    const queue = new Queue<Uint8Array>("claims");
    await connection.declare(queue);
    const error = await assertRejects(
      () => connection.send(queue, BODY),
      OptionError,
      "put()",
    );
    assertEquals(error.outcome, "not-sent");
    assertEquals((await connection.queueStatus(queue)).messageCount, 0);
  }
});

Deno.test("what is used twice on a connection refuses to wrap a message twice, and loses none", async () => {
  const keys = { a: new Uint8Array(32).fill(1) };
  const store = createMemoryClaimStore();
  for (
    const make of [
      () => claimCheck({ store, over: 2 }),
      () => encryption({ keys, current: "a" }),
    ]
  ) {
    await using connection = createConnection("memory://used-twice");
    connection.use(make()).use(make());
    const queue = new Queue<Uint8Array>("twice");
    await connection.declare(queue);
    await assertRejects(
      () => connection.send(queue, BODY),
      OptionError,
      "use it once",
    );
    assertEquals((await connection.queueStatus(queue)).messageCount, 0);
    assertEquals(store.size, 0);
  }
});

Deno.test("a store that no compiler has seen: null is no body, what is none is told, and a remove() without a promise hides no error", async () => {
  const put = () => Promise.resolve("reference");
  const remove = () => {};
  const receiving = async (returned: unknown) => {
    const get = () => Promise.resolve(returned);
    await using connection = createConnection("memory://untyped-store");
    const store = { put, get, remove } as unknown as ClaimStore;
    connection.use(claimCheck({ store, over: 2 }));
    const queue = new Queue<Uint8Array>("untyped", { durable: false });
    await connection.send(queue, BODY);
    const message = await connection.queue<Uint8Array>("untyped").get();
    await connection.delete(queue);
    return message?.payload;
  };
  await assertRejects(() => receiving(null), DecodeError, "not in the claim");
  await assertRejects(
    () => receiving("text"),
    OptionError,
    'get() of the "store" of claimCheck has returned "text"',
  );
  assertEquals(await receiving(BODY), BODY);

  await using connection = createConnection("memory://untyped-store");
  const store = { put, get: put, remove } as unknown as ClaimStore;
  connection.use(claimCheck({ store, over: 2 }));
  await assertRejects(
    () => connection.producer().publish(BODY, { routingKey: "nobody" }),
    UnroutableError,
  );
});

Deno.test("options that make no sense are refused", () => {
  const store = createMemoryClaimStore();
  const call = (make: object, ...given: unknown[]) => () =>
    Reflect.apply(make as () => void, undefined, given);
  assertThrows(call(claimCheck), OptionError, '"store"');
  assertThrows(
    call(claimCheck, { store: {} }),
    OptionError,
    "put, get, remove",
  );
  assertThrows(call(claimCheck, { store, ttl: 1 }), OptionError, '"expiry"');
  assertThrows(call(claimCheck, { store, over: 0 }), RangeError);
  assertThrows(call(claimCheck, { store, expiry: 0 }), RangeError);
  assertThrows(call(createFolderClaimStore, ""), OptionError);
});

Deno.test("a body that cannot be read is no body that is gone", async () => {
  await inFolder(async (path) => {
    const store = createFolderClaimStore(path);
    const reference = await store.put(BODY, { expiry: 60_000 });
    await Deno.remove(`${path}/${reference}`);
    await Deno.mkdir(`${path}/${reference}`);
    await assertRejects(() => store.get(reference));
  });
});

Deno.test("a store in memory counts the bodies whose time is not over", async () => {
  const clock = new TestClock();
  const store = createMemoryClaimStore(clock);
  for (const expiry of [100, 200]) await store.put(BODY, { expiry });
  assertEquals(store.size, 2);
  clock.pass(100);
  assertEquals(store.size, 1);
  clock.pass(100);
  assertEquals(store.size, 0);
});
