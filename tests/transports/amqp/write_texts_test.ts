import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { createRequire } from "node:module";
import { writeTexts } from "../../../transports/amqp/write_texts.ts";

const TABLES: readonly Record<string, unknown>[] = [
  {},
  { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
  { empty: "", "": "no name", left: undefined, out: "x".repeat(128) },
  Object.create({ inherited: "text", own: "no" }, {
    own: { value: "yes", enumerable: true },
  }),
  { ["n".repeat(255)]: "\x00\x7f" },
];

const OTHERS: readonly Record<string, unknown>[] = [
  { text: "a", number: 1 },
  { text: "a", nothing: null },
  { text: "a", table: {} },
  { text: "é" },
  { "é": "text" },
  { long: "x".repeat(129) },
  { ["n".repeat(256)]: "text" },
];

Deno.test("tables of a few texts are written as amqplib writes them", () => {
  const load = createRequire(import.meta.resolve("amqplib"));
  const { encodeTable } = load("./lib/codec.js");
  for (const table of TABLES) {
    const [theirs, ours] = [Buffer.alloc(600), Buffer.alloc(600)];
    assertEquals(writeTexts(ours, table, 7), encodeTable(theirs, table, 7));
    assertEquals(ours, theirs);
  }
});

Deno.test("other tables are left to amqplib", () => {
  for (const table of OTHERS) {
    assertEquals(writeTexts(new Uint8Array(600), table, 0), undefined);
  }
});

Deno.test("texts that there is no room for are left to amqplib, which makes more", () => {
  for (let room = 0; room < 13; room++) {
    const table = { ab: "c" };
    const size = writeTexts(new Uint8Array(room), table, 0);
    assertEquals(size, undefined, `${room} bytes`);
  }
  assertEquals(writeTexts(new Uint8Array(13), { ab: "c" }, 0), 13);
  assertEquals(writeTexts(new Uint8Array(13), { ab: "c" }, 1), undefined);
  assertEquals(writeTexts(new Uint8Array(3), {}, 0), undefined);
});
