/** The name that somebody may have meant. */

import { assertEquals } from "@std/assert";
import { nearest } from "../../url/nearest.ts";

Deno.test("the nearest name is found, whatever its case", () => {
  const names = ["orders", "ORDERS-EU", "invoices", "mail"];
  for (
    const [word, meant] of [
      ["odrers", "orders"],
      ["ORDERZ", "orders"],
      ["orders-ue", "ORDERS-EU"],
      ["invoice", "invoices"],
      ["ordrs", "orders"],
      ["mial", "mail"],
      ["refunds", undefined],
      ["x", undefined],
      ["x".repeat(101), undefined],
    ] as const
  ) assertEquals(nearest(word, names), meant, word);
});

Deno.test("of two names the nearer one is meant", () => {
  assertEquals(nearest("jobs1", ["jobs", "jobs12", "jobs1x"]), "jobs1x");
  assertEquals(nearest("abcdefgh", ["abxxefgh", "abcdexgh"]), "abcdexgh");
});
