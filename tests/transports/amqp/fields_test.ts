import { assert, assertEquals, assertThrows } from "@std/assert";
import { createRequire } from "node:module";
import { Buffer } from "node:buffer";
import { encodeFields } from "../../../transports/amqp/fields.ts";
import { FrameWriter } from "../../../transports/amqp_client/frame_writer.ts";
import {
  decodeFields,
  fromFields,
  rawTable,
  surelyLacks,
} from "../../../transports/amqp_protocol/fields.ts";
import { DecodeError, EncodeError } from "../../../model/errors.ts";
import type { FieldTable, FieldValue } from "../../../model/field_table.ts";

/** amqplib's own writer: an independent hand between the two of ours. */
const { encodeTable } = createRequire(import.meta.resolve("amqplib"))(
  "./lib/codec.js",
);

function byAmqplib(table: FieldTable): Uint8Array {
  const buffer = Buffer.alloc(4096);
  const fields = encodeFields(table, (bytes) => Buffer.from(bytes));
  const size: number = encodeTable(buffer, fields, 0);
  return new Uint8Array(buffer.subarray(4, size));
}

function byFrameWriter(table: FieldTable): Uint8Array {
  const parts: Uint8Array[] = [];
  const writer = new FrameWriter((bytes) => parts.push(bytes));
  writer.method(1, [40, 10], () => writer.table(table));
  writer.flush();
  assertEquals(parts.length, 1);
  // The frame's header, the method, and the table's length before it, an octet behind.
  return parts[0]?.slice(15, -1) ?? new Uint8Array();
}

const WRITERS = [["encodeFields()", byAmqplib], [
  "FrameWriter.table()",
  byFrameWriter,
]] as const;

/** The value, and its type on the wire. */
const VALUES: readonly (readonly [FieldValue, string])[] = [
  [0, "I"],
  [127, "I"],
  [128, "I"],
  [-129, "I"],
  [32_767, "I"],
  [2 ** 31 - 1, "I"],
  [-(2 ** 31), "I"],
  [2 ** 31, "l"],
  [-(2 ** 31) - 1, "l"],
  [Number.MAX_SAFE_INTEGER, "l"],
  [2n ** 63n - 1n, "l"],
  [-(2n ** 63n), "l"],
  [1.5, "d"],
  [-0.25, "d"],
  [0.1, "d"],
  [-0, "d"],
  [NaN, "d"],
  [2 ** 32 - 1, "l"],
  ["", "S"],
  ["é董", "S"],
  [true, "t"],
  [false, "t"],
  [null, "V"],
  [new Date("2024-05-06T07:08:09Z"), "T"],
  [Uint8Array.of(0, 255), "x"],
  [[], "A"],
  [[1, "a", [null]], "A"],
  [{}, "F"],
  [{ "!": "int32", value: "no trapdoor" }, "F"],
  [{ a: { b: [{ c: -1 }] } }, "F"],
];

for (const [value, type] of VALUES) {
  const shown = Deno.inspect(value, { compact: true, breakLength: Infinity });
  for (const [name, bytesOf] of WRITERS) {
    Deno.test(`${shown} travels as ${type} and comes back: ${name}`, () => {
      const bytes = bytesOf({ k: value });
      assertEquals(String.fromCharCode(bytes[2] ?? 0), type);
      assertEquals(decodeFields(bytes), { k: value });
    });
  }
}

for (const [name, bytesOf] of WRITERS) {
  Deno.test(`${name} leaves out undefined`, () => {
    assertEquals(decodeFields(bytesOf({ a: undefined, b: 1 })), { b: 1 });
  });
}

const REFUSED: readonly (readonly [string, FieldTable, string])[] = [
  ["an integer beyond 64 bits", { n: 2n ** 63n }, "64 bits"],
  ["a date before 1970", { d: new Date(-1000) }, "1970"],
  ["a long name", { ["x".repeat(256)]: 1 }, "255 bytes"],
];

for (const [name, table, words] of REFUSED) {
  for (const [writer, bytesOf] of WRITERS) {
    Deno.test(`${writer} refuses ${name}`, () => {
      const { message } = assertThrows(() => bytesOf(table), EncodeError);
      assert(message.includes(words), message);
    });
  }
}

const wire = (type: string, ...bytes: number[]) =>
  Uint8Array.of(1, 107, type.charCodeAt(0), ...bytes);

/** Fields that other clients write, and amqplib cannot, or does not. */
const FOREIGN: readonly (readonly [string, Uint8Array, FieldValue])[] = [
  ["64 bits of py-amqp", wire("L", 0, 0, 0, 0, 128, 0, 0, 0), 2 ** 31],
  [
    "64 bits of py-amqp, negative",
    wire("L", 255, 255, 255, 0, 0, 0, 0, 0),
    -(2 ** 40),
  ],
  ["a byte", wire("b", 249), -7],
  ["an unsigned byte", wire("B", 249), 249],
  ["a short", wire("s", 255, 249), -7],
  ["an unsigned short", wire("u", 255, 249), 65_529],
  ["an unsigned int", wire("i", 255, 255, 255, 255), 2 ** 32 - 1],
  ["a float", wire("f", 63, 192, 0, 0), 1.5],
  ["a decimal", wire("D", 2, 0, 0, 1, 44), 3],
  ["a string that is no text", wire("S", 0, 0, 0, 1, 255), Uint8Array.of(255)],
];

for (const [name, bytes, expected] of FOREIGN) {
  Deno.test(`decodeFields() reads ${name}`, () => {
    assertEquals(decodeFields(bytes), { k: expected });
  });
}

Deno.test("decodeFields() refuses unknown types, and what is cut off", () => {
  assertThrows(() => decodeFields(wire("Z", 1)), DecodeError, '"Z"');
  const whole = byAmqplib({ a: "text", b: [1, { c: 2n ** 40n }], d: true });
  for (let length = 1; length < whole.length; length++) {
    try {
      decodeFields(whole.subarray(0, length));
    } catch (error) {
      assert(error instanceof DecodeError, String(error));
    }
  }
  assertThrows(
    () => decodeFields(whole.subarray(0, whole.length - 1)),
    DecodeError,
  );
});

Deno.test("decodeFields() keeps __proto__ a name", () => {
  const table = decodeFields(
    Uint8Array.of(9, ...new TextEncoder().encode("__proto__"), 116, 1),
  );
  assertEquals(Object.keys(table), ["__proto__"]);
  assertEquals("k" in {}, false);
});

Deno.test("a table that is its bytes surely lacks what is nowhere among them, and of no other that is said", () => {
  const table = { xx: 1, nested: { "x-suspect": 1 }, list: ["x-in-text"] };
  const raw = rawTable(byFrameWriter(table));
  assertEquals(fromFields(raw), table);
  for (const name of ["xx", "nested", "x-suspect", "x-in-text"]) {
    assert(!surelyLacks(raw, name), name);
  }
  for (const name of ["x-suspects", "xxx", "absent", "x-in-texts"]) {
    assert(surelyLacks(raw, name), name);
  }
  assert(surelyLacks(rawTable(new Uint8Array(0)), "x"));
  assert(!surelyLacks({}, "x"));
});
