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

Deno.test("msgpack: what JSON leaves out is left out, and what says itself what it is is that", () => {
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
