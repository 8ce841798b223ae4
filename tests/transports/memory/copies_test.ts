import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createConnection, Queue } from "../../../mod.ts";
import { Slab } from "../../../model/slab.ts";

/** Bytes that tell which message they are of. */
function bytesOf(number: number, size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, i) => (number + i) & 255);
}

/** As to a worker: the buffer is gone from here. */
function transfer({ buffer }: Uint8Array): void {
  assert(buffer instanceof ArrayBuffer);
  structuredClone(buffer, { transfer: [buffer] });
}

const SIZES = [0, 1, 63, 64, 1024, 2048, 2049, 40_000];

Deno.test("a slab copies bytes of any size, each to a place of its own", () => {
  const slab = new Slab();
  const copies: Uint8Array[] = [];
  const all = Array.from({ length: 50 }, () => SIZES).flat();
  const buffer = new Uint8Array(40_000);
  for (const [i, size] of all.entries()) {
    buffer.set(bytesOf(i, size)); // one buffer, used again
    copies.push(slab.copy(buffer.subarray(0, size)));
  }
  buffer.fill(0);
  for (const [i, size] of all.entries()) {
    assert.deepEqual(copies[i], bytesOf(i, size), `number ${i}`);
  }
  const shared = new Set(copies.map((each) => each.buffer)).size;
  assert(shared < copies.length / 2, `${shared} buffers`);
});

Deno.test("a slab whose page was transferred takes another one, and a Buffer is copied", () => {
  const slab = new Slab();
  const first = slab.copy(Uint8Array.of(1));
  transfer(first);
  assert.equal(first.length, 0);
  const source = Buffer.from([1, 2, 3]);
  const copy = slab.copy(source);
  source.fill(9);
  assert.deepEqual(copy, Uint8Array.of(1, 2, 3));
});

Deno.test("bytes of a message that are transferred take nothing out of a queue", async () => {
  await using connection = createConnection("memory://transferred");
  const queue = new Queue("transferred");
  const producer = connection.producer<Uint8Array>({ declare: [queue] });
  const messages = Array.from({ length: 50 }, (_, i) => i);
  for (const i of messages) {
    await producer.publish(bytesOf(i, 100), {
      routingKey: queue.name,
      delay: i % 10 === 0 ? 1 : undefined,
    });
  }
  // Twice: what comes again is as it was.
  for (const settle of ["requeue", "ack"] as const) {
    const seen = new Set<number>();
    for await (const message of connection.consumer<Uint8Array>(queue)) {
      const { body } = message;
      const [number] = body;
      assert(number !== undefined);
      assert.deepEqual(body, bytesOf(number, 100));
      transfer(body);
      if (settle === "ack" || !seen.has(number)) await message[settle]();
      seen.add(number);
      if (settle === "requeue" ? seen.size === 1 : seen.size === 50) break;
    }
  }
});
