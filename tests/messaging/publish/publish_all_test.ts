import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  OptionError,
  PublishAllError,
  Queue,
} from "../../../mod.ts";

function open() {
  const connection = createConnection(`memory://all-${crypto.randomUUID()}`);
  const queue = new Queue("rows");
  const producer = connection.producer<unknown>({ queue, maxInFlight: 1 });
  return { connection, producer };
}

const BAD = () => "no payload";

Deno.test("publishAll() stops at maxFailures, and closes what it goes through", async () => {
  const { connection, producer } = open();
  let ended = false;
  function* payloads() {
    try {
      for (;;) yield BAD;
    } finally {
      ended = true;
    }
  }
  const { published, failed, complete } = await producer.publishAll(
    payloads(),
    { maxFailures: 3 },
  );
  assertEquals([published, complete], [0, false]);
  // One more may be on its way.
  assert([3, 4].includes(failed.length), `${failed.length}`);
  assertEquals(ended, true);
  await connection.close();
});

Deno.test("publishAll() whose signal aborts begins nothing further, and tells of what it has", async () => {
  const { connection, producer } = open();
  const stop = new AbortController();
  async function* payloads() {
    yield 1;
    await producer.flush();
    stop.abort();
    yield 2;
  }
  const { signal } = stop;
  const { published, failed, complete } = await producer.publishAll(
    payloads(),
    { signal },
  );
  assertEquals([published, failed, complete], [1, [], false]);
  await connection.close();
});

Deno.test("publishAll() whose source throws tells what became of each, when they are answered", async () => {
  const { connection, producer } = open();
  const gone = new Error("the file is gone");
  function* payloads() {
    yield BAD;
    yield 1;
    throw gone;
  }
  const error = await assertRejects(
    () => producer.publishAll(payloads()),
    PublishAllError,
    "thrown after 2, of which 1 are published: the file is gone",
  );
  assertEquals([error.published, error.duplicates], [1, 0]);
  assertEquals(
    error.failed.map(({ index, payload }) => [index, payload]),
    [[0, BAD]],
  );
  assertEquals(error.cause, gone);
  assertEquals(producer.inFlight, 0);
  assertEquals((await connection.queue("rows").status()).messageCount, 1);
  await connection.close();
});

Deno.test("publishAll() whose function of options throws for one publishes the others", async () => {
  const { connection, producer } = open();
  const error = new Error("no key");
  const { published, failed } = await producer.publishAll([1, 2, 3], {
    each: (payload) => {
      if (payload === 2) throw error;
      return {};
    },
  });
  assertEquals(published, 2);
  assertEquals(failed, [{ index: 1, payload: 2, error }]);
  await connection.close();
});

Deno.test("publishAll() refuses what makes no sense, and says what would", async () => {
  const { connection, producer } = open();
  // deno-lint-ignore no-explicit-any -- as from no compiler
  const all: (...args: any[]) => Promise<unknown> = producer.publishAll.bind(
    producer,
  );
  await assertRejects(() => all("abc"), TypeError, "publish() takes one");
  await assertRejects(() => all({ id: 1 }), TypeError, "must be a list");
  await assertRejects(
    () => all([1], { each: { messageId: "one" } }),
    OptionError,
    'under one "messageId"',
  );
  await assertRejects(
    () => all([1], { priority: 1 }),
    OptionError,
    'it is "each: { priority }"',
  );
  await assertRejects(() => all([1], { maxFailures: 0 }), RangeError);
  await connection.close();
});

Deno.test("publishAll() whose signal aborts ends the publishes that are on their way, but those with a signal of their own", async () => {
  const { connection, producer } = open();
  const stop = new AbortController();
  const own = new AbortController().signal;
  const reason = new Error("enough");
  const { published, failed, complete } = await producer.publishAll(
    (function* () {
      yield 1;
      stop.abort(reason);
      yield 2;
    })(),
    {
      signal: stop.signal,
      each: (payload) => payload === 1 ? {} : { signal: own },
    },
  );
  assertEquals([published, complete], [0, false]);
  assertEquals(failed.map(({ error }) => error), [reason]);
  await connection.close();
});

Deno.test("publishAll() whose signal aborts while its source waits ends, though the source does not", async () => {
  const { connection, producer } = open();
  const stop = new AbortController();
  const { promise: waits, resolve } = Promise.withResolvers<void>();
  const publishing = producer.publishAll(
    (async function* () {
      yield 1;
      resolve();
      await new Promise(() => {});
    })(),
    { signal: stop.signal },
  );
  await waits;
  stop.abort();
  const { failed, complete } = await publishing;
  assertEquals(complete, false);
  assertEquals(failed.length <= 1, true);
  await connection.close();
});

Deno.test("publishAll() with a signal waits for what its source does when it has enough of it", async () => {
  const { connection, producer } = open();
  let isClosed = false;
  const { complete } = await producer.publishAll(
    (async function* () {
      try {
        for (;;) yield NaN;
      } finally {
        await Promise.resolve();
        isClosed = true;
      }
    })(),
    { signal: new AbortController().signal, maxFailures: 3 },
  );
  assertEquals([complete, isClosed], [false, true]);
  await connection.close();
});
