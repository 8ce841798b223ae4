import { assertEquals } from "@std/assert";
import { formatPattern } from "../../../transports/store/kombu_pattern.ts";

Deno.test("a routing pattern is written as the expression that Kombu matches with", () => {
  assertEquals(formatPattern("a.*.#"), "^a\\.[^\\.]+\\..*?$");
  assertEquals(formatPattern("a-b+c.1"), "^a\\-b\\+c\\.1$");
  assertEquals(formatPattern("a\0b"), "^a\\000b$");
});
