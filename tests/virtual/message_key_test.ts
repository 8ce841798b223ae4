/** The key of a message: what is one, and what is none. */

import { assertEquals } from "@std/assert";
import { isKey, keyOf } from "../../virtual/message_key.ts";

Deno.test("a key is a string of 1 to 128 bytes in UTF-8", () => {
  const keys = ["a", "user-7", " ", "ü".repeat(64), "€".repeat(42), "\u0000"];
  for (const key of [...keys, "x".repeat(128), "😀".repeat(32)]) {
    assertEquals(isKey(key), true, key);
    assertEquals(keyOf({ "x-key": key, other: 1 }), key);
  }
  for (
    const other of [
      "",
      "x".repeat(129),
      "ü".repeat(65),
      "€".repeat(43),
      "😀".repeat(33),
      "\ud800",
      7,
      true,
      null,
      undefined,
      new Uint8Array([97]),
    ]
  ) {
    assertEquals(isKey(other), false, String(other));
  }
  assertEquals(keyOf({ "x-key": 7 }), undefined);
  assertEquals(keyOf({}), undefined);
  assertEquals(keyOf(undefined), undefined);
});
