import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  createCodecRegistry,
  createConnection,
  DecodeError,
  EncodeError,
  type FieldTable,
  type Message,
  Queue,
} from "../../mod.ts";

const PAYLOAD = { text: "again ".repeat(1000) };
const GZIP = "application/x-gzip";

/** A queue on a broker of its own. */
function open(options: Parameters<typeof createConnection>[1] = {}) {
  const connection = createConnection(
    `memory://compression-${crypto.randomUUID()}`,
    options,
  );
  const queue = new Queue("jobs");
  const get = () => connection.simpleQueue(queue).getNoWait();
  return { connection, queue, routingKey: queue.name, get };
}

Deno.test("publish() compresses as it says, or else as its producer does", async () => {
  const { connection, queue, routingKey, get } = open();
  const headers: FieldTable = { mine: 1 };
  const producer = connection.producer({
    declare: [queue],
    compression: "gzip",
  });
  await producer.publish(PAYLOAD, { routingKey, headers });
  await producer.publish(PAYLOAD, { routingKey, compression: "zstd" });
  await producer.publish(PAYLOAD, { routingKey, compression: "" });
  const found = [await get(), await get(), await get()];
  assertEquals<unknown>(found.map((each) => each?.headers), [
    { mine: 1, compression: GZIP },
    { compression: "application/zstd" },
    {},
  ]);
  for (const message of found) assertEquals(message?.payload, PAYLOAD);
  assertEquals(headers, { mine: 1 });
  await connection.close();
});

Deno.test("publish() rejects an unknown compression, and sends nothing", async () => {
  const { connection, queue, routingKey, get } = open();
  const producer = connection.producer({ declare: [queue] });
  for (const compression of ["snappy", "bzip2", "lzma"]) {
    const error = await assertRejects(
      () => producer.publish(PAYLOAD, { routingKey, compression }),
      EncodeError,
      compression,
    );
    assertEquals(error.outcome, "not-sent");
  }
  assertEquals(await get(), undefined);
  await connection.close();
});

Deno.test("a compressed message that is got on a connection that never wrote one is read", async () => {
  const name = `memory://compression-${crypto.randomUUID()}`;
  await using writer = createConnection(name);
  await using reader = createConnection(name);
  await writer.simpleQueue("jobs", { compression: "brotli" }).put(PAYLOAD);
  const message = await reader.simpleQueue("jobs").get();
  assertEquals(message?.payload, PAYLOAD);
  await message?.ack();
});

Deno.test("a consumer reads compressed messages, whether it waits for them or finds them there", async () => {
  const { connection, queue, routingKey } = open();
  const producer = connection.producer({ declare: [queue] });
  const publish = (compression: string) =>
    producer.publish(PAYLOAD, { routingKey, compression });
  await publish("");
  await publish("gzip");
  await publish("zstd");
  const reader = connection.consumer(queue);
  let count = 0;
  for await (const message of reader) {
    assertEquals(message.payload, PAYLOAD);
    await message.ack();
    if (++count === 3) void publish("brotli");
    if (count === 4) break;
  }
  await connection.close();
});

/** Bodies that cannot be decompressed, by the name in their header. */
const POISON: readonly (readonly [string, FieldTable, Uint8Array])[] = [
  ["no zlib", { compression: GZIP }, Uint8Array.of(123, 125)],
  ["nothing", { compression: GZIP }, new Uint8Array(0)],
  ["no brotli", { compression: "brotli" }, Uint8Array.of(255, 255, 255)],
  ["no zstd", { compression: "zstd" }, Uint8Array.of(40, 181, 47, 253)],
  ["an unknown name", { compression: "snappy" }, Uint8Array.of(1)],
  ["a format that nothing serves", { compression: "xz" }, Uint8Array.of(1)],
  ["a header that is no text", { compression: [1] }, Uint8Array.of(1)],
];

Deno.test("a message that cannot be decompressed goes to onInvalid, and the loop goes on", async () => {
  const { connection, queue, routingKey } = open();
  const producer = connection.producer({ declare: [queue] });
  for (const [, headers, body] of POISON) {
    await producer.publish(body, { routingKey, headers });
  }
  await producer.publish("good", { routingKey, compression: "gzip" });
  const refused: (readonly [Error, Message<unknown>])[] = [];
  const consumer = connection.consumer(queue, {
    onInvalid: (error, message) => void refused.push([error, message]),
  });
  for await (const message of consumer) {
    assertEquals(message.payload, "good");
    await message.ack();
    break;
  }
  assertEquals(refused.length, POISON.length);
  for (const [i, [error, message]] of refused.entries()) {
    assert(error instanceof DecodeError, String(error));
    assertEquals(message.body, POISON[i]?.[2]);
    assertEquals(message.settled, true);
  }
  await connection.close();
});

for (const [name, headers, body] of POISON) {
  Deno.test(`payload throws a DecodeError for ${name}, and body is there`, async () => {
    const { connection, queue, routingKey, get } = open();
    const producer = connection.producer({ declare: [queue] });
    await producer.publish(body, { routingKey, headers });
    const message = await get();
    assertThrows(() => message?.payload, DecodeError);
    assertEquals(message?.body, body);
    await connection.close();
  });
}

Deno.test("maxDecompressedSize bounds what a payload may become", async () => {
  const { connection, queue, routingKey, get } = open({
    maxDecompressedSize: 6011,
  });
  const producer = connection.producer({
    declare: [queue],
    compression: "gzip",
  });
  await producer.publish(PAYLOAD, { routingKey });
  await producer.publish({ text: PAYLOAD.text + "!" }, { routingKey });
  assertEquals((await get())?.payload, PAYLOAD);
  const larger = await get();
  assertThrows(() => larger?.payload, DecodeError, "larger than 6011 bytes");
  await connection.close();
  for (const maxDecompressedSize of [0, -1, 1.5, NaN, 2 ** 31]) {
    assertThrows(
      () => createConnection("memory://", { maxDecompressedSize }),
      RangeError,
      "maxDecompressedSize",
    );
  }
  const maxDecompressedSize = 2 ** 31 - 1;
  await createConnection("memory://", { maxDecompressedSize }).close();
});

Deno.test("a compression or codec that cannot be loaded is the message's error, not the loop's", async () => {
  const codecs = createCodecRegistry();
  const load = () => Promise.reject(new Error("not installed"));
  codecs.registerCompression({
    contentType: "application/x-lzma",
    names: ["xz"],
    load,
  });
  codecs.register({ name: "gone", contentType: "x/gone", load });
  const { connection, queue, routingKey } = open({ codecs });
  const producer = connection.producer({ declare: [queue] });
  for (const options of [{ compression: "xz" }, { serializer: "gone" }]) {
    const error = await assertRejects(
      () => producer.publish("x", { routingKey, ...options }),
      EncodeError,
      "cannot be loaded: not installed",
    );
    assertEquals(String(error.cause), "Error: not installed");
  }
  await producer.publish("x", { routingKey, headers: { compression: "xz" } });
  await producer.publish("x", { routingKey, contentType: "x/gone" });
  await producer.publish("good", { routingKey });
  const seen: unknown[] = [];
  const consumer = connection.consumer(queue, {
    accept: ["text", "x/gone"],
    onInvalid: (error) => void seen.push(error.cause),
  });
  for await (const message of consumer) {
    seen.push(message.payload);
    await message.ack();
    break;
  }
  assertEquals(seen.map(String), [
    "Error: not installed",
    "Error: not installed",
    "good",
  ]);
  await connection.close();
});
