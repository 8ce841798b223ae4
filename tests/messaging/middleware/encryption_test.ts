/** Encryption: its options, and what travels. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, DecodeError, OptionError, Queue } from "@dashi/mq";
import { compression, encryption, logging } from "@dashi/mq/middleware";

const KEY = new Uint8Array(32).fill(7);

Deno.test("a key that is none, or is not there, is refused", () => {
  const refused = (options: unknown, ...words: string[]) => {
    const error = assertThrows(
      () => Reflect.apply(encryption, undefined, [options]),
      OptionError,
    );
    for (const word of words) {
      assert(error.message.includes(word), error.message);
    }
    assert(!error.message.includes("7, 7")); // no bytes of a key
  };
  refused(undefined, '"keys"');
  refused({ current: "a" }, '"keys"');
  refused({ keys: {}, current: "a" }, '"current"', "none");
  refused({ keys: { a: KEY }, current: "b" }, '"b"', "a");
  refused({ keys: { a: KEY }, current: "toString" }, '"toString"');
  refused({ keys: { a: KEY.subarray(1) }, current: "a" }, "31 bytes");
  refused({ keys: { a: "secret" }, current: "a" }, "string");
  refused({ keys: { "": KEY }, current: "" }, "without an id");
  refused({ keys: { a: KEY }, current: "a", key: KEY }, '"keys"');
});

Deno.test("options of compression and logging that make no sense are refused", () => {
  const call = (make: object, given: unknown) => () =>
    Reflect.apply(make as () => void, undefined, [given]);
  assertThrows(call(compression, { threshold: 1 }), OptionError, '"over"');
  assertThrows(call(compression, { over: -1 }), RangeError);
  assertThrows(call(logging, {}), OptionError, "a function");
  assertThrows(call(logging, { logger: 1 }), OptionError, '"log"');
});

Deno.test("two equal messages are not equal at the broker, and keys of all sizes and kinds are taken", async () => {
  const imported = await crypto.subtle.importKey("raw", KEY, "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
  for (const key of [KEY, KEY.slice(8), KEY.slice(16), imported]) {
    await using connection = createConnection("memory://keys");
    const bodies: Uint8Array[] = [];
    connection.use(encryption({ keys: { k: key }, current: "k" })).use({
      publish({ body, headers }, next) {
        bodies.push(body);
        assertEquals(headers["x-encryption-key"], "k");
        return next();
      },
    });
    const queue = new Queue<string>("equal");
    for (let i = 0; i < 2; i++) {
      await connection.send(queue, "same", { messageId: "1" });
    }
    assert(String(bodies[0]) !== String(bodies[1]));
    assertEquals(bodies[0]?.length, 12 + 4 + 16);
    const consumer = connection.consumer(queue);
    let count = 0;
    await consumer.run(({ payload }) => {
      assertEquals(payload, "same");
      if (++count === 2) void consumer.cancel();
    });
  }
});

Deno.test("a key that may not decrypt is named, and no body is said to be changed", async () => {
  const key = await crypto.subtle.importKey("raw", KEY, "AES-GCM", false, [
    "encrypt",
  ]);
  await using connection = createConnection("memory://encrypt-only");
  connection.use(encryption({ keys: { k: key }, current: "k" }));
  const queue = new Queue("orders");
  await connection.send(queue, 1);
  await using handle = connection.queue(queue);
  const message = await handle.get();
  assertThrows(() => message?.payload, DecodeError, '"decrypt" must be');
});

Deno.test("plain messages are taken where that is asked for", async () => {
  await using connection = createConnection("memory://plain");
  const queue = new Queue<string>("plain");
  await connection.send(queue, "plain");
  connection.use(
    encryption({ keys: { k: KEY }, current: "k", acceptPlain: true }),
  );
  await connection.send(queue, "secret");
  const consumer = connection.consumer(queue);
  const seen: string[] = [];
  await consumer.run(({ payload }) => {
    if (seen.push(payload) === 2) void consumer.cancel();
  });
  assertEquals(seen, ["plain", "secret"]);
});
