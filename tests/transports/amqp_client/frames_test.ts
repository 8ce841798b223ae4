import { assert, assertEquals, assertThrows } from "@std/assert";
import { EncodeError } from "../../../model/errors.ts";
import { FrameSplitter } from "../../../transports/amqp_client/frame_splitter.ts";
import { FrameWriter } from "../../../transports/amqp_client/frame_writer.ts";

interface Frame {
  readonly type: number;
  readonly channel: number;
  readonly size: number;
}

/** Reads frames, and that they are whole. */
function framesOf(bytes: Uint8Array): readonly Frame[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const size = view.getUint32(at + 3);
    frames.push({
      type: view.getUint8(at),
      channel: view.getUint16(at + 1),
      size,
    });
    at += size + 8;
    assertEquals(view.getUint8(at - 1), 206);
  }
  return frames;
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((n, each) => n + each.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function record() {
  const parts: Uint8Array[] = [];
  const writer = new FrameWriter((bytes) => parts.push(bytes));
  const frames = () => {
    writer.flush();
    return framesOf(joined(parts));
  };
  return { writer, parts, frames };
}

const publish = (writer: FrameWriter, body: Uint8Array, text = "") =>
  writer.message(3, [60, 40], () => writer.shortString("q"), body, () => {
    writer.short(0x2000);
    writer.table({ text });
  });

Deno.test("FrameWriter splits a body into frames that the broker takes", () => {
  const { writer, frames } = record();
  writer.frameMax = 4096;
  publish(writer, new Uint8Array(10_000).fill(206));
  assertEquals(frames().map(({ type, size }) => [type, size]).slice(2), [
    [3, 4088],
    [3, 4088],
    [3, 1824],
  ]);
});

Deno.test("FrameWriter sends no body's frame for an empty body", () => {
  const { writer, frames } = record();
  publish(writer, new Uint8Array());
  assertEquals(frames().map(({ type }) => type), [1, 2]);
});

Deno.test("FrameWriter keeps frames whole over its pages, of any size", () => {
  for (const size of [1, 1000, 60_000, 65_530, 70_000, 300_000]) {
    const { writer, parts, frames } = record();
    for (let i = 0; i < 20; i++) {
      publish(writer, new Uint8Array(size), "é".repeat(size / 4));
    }
    const all = frames();
    assertEquals(all.filter(({ type }) => type === 1).length, 20);
    assert(all.every(({ channel }) => channel === 3));
    assertEquals(
      all.reduce((n, each) => n + (each.type === 3 ? each.size : 0), 0),
      20 * size,
    );
    assert(parts.length < 4 * all.length);
  }
});

Deno.test("FrameWriter gives away bytes that do not change any more", () => {
  const { writer, parts } = record();
  const copies: Uint8Array[] = [];
  for (let i = 0; i < 300; i++) {
    publish(writer, new Uint8Array(1000).fill(i));
    if (i % 7 === 0) writer.flush();
    while (copies.length < parts.length) {
      copies.push(parts[copies.length]?.slice() ?? new Uint8Array());
    }
  }
  assertEquals(parts, copies);
});

Deno.test("FrameWriter leaves nothing of what cannot be encoded", () => {
  const { writer, frames } = record();
  publish(writer, Uint8Array.of(1));
  const long = "x".repeat(256);
  assertThrows(
    () => writer.method(1, [60, 40], () => writer.shortString(long)),
    EncodeError,
    "256 bytes",
  );
  assertThrows(
    () =>
      writer.message(
        1,
        [60, 40],
        () => writer.shortString("q".repeat(200)),
        new Uint8Array(5),
        () => writer.table({ a: "x".repeat(70_000), n: 2n ** 63n }),
      ),
    EncodeError,
    "64 bits",
  );
  publish(writer, Uint8Array.of(2));
  const all = frames();
  assertEquals(all.map(({ type }) => type), [1, 2, 3, 1, 2, 3]);
});

Deno.test("FrameWriter refuses headers that no frame holds", () => {
  const { writer, frames } = record();
  writer.frameMax = 4096;
  assertThrows(
    () => publish(writer, Uint8Array.of(1), "x".repeat(5000)),
    EncodeError,
    "4096",
  );
  assertEquals(frames(), []);
});

/** Frames of many sizes, one behind the other. */
const STREAM = joined([0, 1, 7, 100, 4088, 20_000].map((size, i) => {
  const { writer, parts } = record();
  publish(writer, new Uint8Array(size).fill(i));
  writer.flush();
  return joined(parts);
}));

for (const size of [1, 2, 3, 7, 8, 9, 64, 4096, 4097, STREAM.length]) {
  Deno.test(`FrameSplitter puts together what comes ${size} bytes at a time`, () => {
    const seen: Uint8Array[] = [];
    const splitter = new FrameSplitter(131_072, (frames) => {
      framesOf(frames);
      seen.push(frames.slice());
    });
    for (let at = 0; at < STREAM.length; at += size) {
      splitter.push(STREAM.slice(at, at + size));
    }
    assertEquals(joined(seen), STREAM);
  });
}

Deno.test("FrameSplitter hands over all frames of a piece together", () => {
  let calls = 0;
  new FrameSplitter(131_072, () => calls++).push(STREAM);
  assertEquals(calls, 1);
});

Deno.test("FrameSplitter refuses what is no AMQP, and frames that are too large", () => {
  const splitter = () => new FrameSplitter(4096, () => {});
  const text = new TextEncoder().encode("HTTP/1.1 400 Bad Request");
  assertThrows(() => splitter().push(text), Error, "no frame");
  assertThrows(
    () => splitter().push(Uint8Array.of(3, 0, 1, 0, 0, 32, 0)),
    Error,
    "no frame",
  );
  assertThrows(
    () => splitter().push(new TextEncoder().encode("AMQP\x00\x00\x09\x01")),
    Error,
    "no frame",
  );
});
