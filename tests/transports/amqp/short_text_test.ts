import { assertEquals } from "@std/assert";
import { shortText } from "../../../transports/amqp_protocol/short_text.ts";

/** Reads it from between others, as from a frame. */
function read(...bytes: readonly number[]): string {
  return shortText(Uint8Array.of(7, ...bytes, 7), 1, bytes.length);
}

function readText(text: string): string {
  return read(...new TextEncoder().encode(text));
}

Deno.test("a short text is what its bytes say, whatever came before it", () => {
  const texts = [
    "",
    "n",
    "orders.created",
    "orders.deleted",
    "ordersxcreated",
    "Größe",
    "\u00e9\u00e9",
    "\u{1f407}",
    "\ufefforders",
    "k".repeat(64),
    "k".repeat(65),
    "k".repeat(255),
  ];
  for (let round = 0; round < 3; round++) {
    for (const text of texts) assertEquals(readText(text), text);
  }
});

Deno.test("a short text of bytes that are no UTF-8 is not taken for the text whose characters have these numbers", () => {
  assertEquals(readText("\u00e9"), "\u00e9");
  for (let round = 0; round < 3; round++) {
    assertEquals(read(0xe9), "\ufffd");
    assertEquals(readText("\u00e9"), "\u00e9");
    assertEquals(read(0xc3, 0x41), "\ufffdA");
  }
});
