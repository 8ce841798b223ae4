import { assertEquals, assertThrows } from "@std/assert";
import { MSGPACK_CODEC } from "../../codec/msgpack.ts";
import { TypedValue } from "../../codec/typed_value.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";

const ROUND_TRIPS: readonly (readonly [string, unknown])[] = [
  ["an object", { a: [1, 2.5, null, true, "é"] }],
  ["bytes", { data: Uint8Array.of(0, 255) }],
  ["a date", { at: new Date(1_700_000_000_123) }],
  ["numbers of every width", [0, -1, 255, 2 ** 31, -(2 ** 31), 2 ** 40]],
  ["the last exact numbers", [2 ** 53 - 1, -(2 ** 53) + 1]],
  ["integers beyond them", [2n ** 53n + 1n, 2n ** 64n - 1n, -(2n ** 63n)]],
];

for (const [name, payload] of ROUND_TRIPS) {
  Deno.test(`msgpack: ${name} comes back as it was`, () => {
    const body = MSGPACK_CODEC.encode(payload);
    assertEquals(MSGPACK_CODEC.decode(body, "binary"), payload);
  });
}

Deno.test("msgpack: an integer beyond 32 bits is written as one, not as a float", () => {
  assertEquals(
    [...MSGPACK_CODEC.encode(2 ** 40)],
    [0xcf, 0, 0, 1, 0, 0, 0, 0, 0],
  );
});

Deno.test("msgpack: values that JSON leaves out are left out, and values with toJSON are what that gives", () => {
  const body = MSGPACK_CODEC.encode({
    a: undefined,
    url: new URL("amqp://localhost/"),
  });
  assertEquals(MSGPACK_CODEC.decode(body, "binary"), {
    url: "amqp://localhost/",
  });
});

const REFUSED: readonly (readonly [string, number[]])[] = [
  ["nothing", []],
  ["a list that ends early", [0xdd, 0xff, 0xff, 0xff, 0xff]],
  ["more than one value", [1, 2]],
  ["a text that is no UTF-8", [0xa2, 0xc3, 0x28]],
  ["a long text that is no UTF-8", [0xd9, 3, 0x61, 0xff, 0x61]],
  ["a longer text that is no UTF-8", [0xda, 0, 1, 0x80]],
  ["the longest text that is no UTF-8", [0xdb, 0, 0, 0, 1, 0x80]],
  ["a key that is no UTF-8", [0x81, 0xa1, 0x80, 1]],
  ["a text in lists that is no UTF-8", [0xdc, 0, 2, 0x91, 1, 0xa1, 0xff]],
  ["a half surrogate pair", [0xa3, 0xed, 0xa0, 0x80]],
  [
    "a timestamp of 2^30 - 1 nanoseconds",
    [0xd7, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
  ],
  [
    "a timestamp of 12 bytes and 10^9 nanoseconds",
    [0xc7, 12, 0xff, 0x3b, 0x9a, 0xca, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  ],
  [
    "a timestamp beyond all dates",
    [0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0],
  ],
  ["a timestamp of 3 bytes", [0xc7, 3, 0xff, 0, 0, 0]],
];

for (const [name, body] of REFUSED) {
  Deno.test(`msgpack: ${name} is a DecodeError`, () => {
    assertThrows(
      () => MSGPACK_CODEC.decode(Uint8Array.from(body), "binary"),
      DecodeError,
      "as MessagePack",
    );
  });
}

Deno.test("msgpack: bytes that only look like bad text are read", () => {
  const read = (...body: number[]) =>
    MSGPACK_CODEC.decode(Uint8Array.from(body), "binary");
  assertEquals(read(0xc4, 2, 0xc3, 0x28), Uint8Array.of(0xc3, 0x28));
  assertEquals(read(0xcf, 0, 0, 0, 0, 0, 0xa1, 0xff, 1), 10616577);
  assertEquals(read(0xa2, 0xc3, 0xa9), "é");
  assertEquals(read(0xd6, 0xff, 0, 0, 0, 1), new Date(1000));
  assertEquals(
    read(0xc7, 12, 0xff, 0x3b, 0x8b, 0x87, 0xc0, ...Array(8).fill(0xff)),
    new Date(-1),
  );
});

const circle: unknown[] = [];
circle.push(circle);
const UNWRITABLE: readonly (readonly [string, unknown])[] = [
  ["undefined", undefined],
  ["a function", () => 1],
  ["an integer of 65 bits", 2n ** 64n],
  ["a circle", circle],
  ["a Map", { a: new Map([["a", 1]]) }],
  ["a Set", [new Set([1])]],
  ["an ArrayBuffer", new ArrayBuffer(1)],
  ["a typed value", { price: new TypedValue("decimal", "1.10") }],
  ["an invalid Date", { at: new Date(NaN) }],
];

for (const [name, payload] of UNWRITABLE) {
  Deno.test(`msgpack: ${name} is an EncodeError`, () => {
    assertThrows(
      () => MSGPACK_CODEC.encode(payload),
      EncodeError,
      "as MessagePack",
    );
  });
}
