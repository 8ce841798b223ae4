import { assertEquals, assertThrows } from "@std/assert";
import { requireRuntime } from "../../../messaging/connection/runtime.ts";

Deno.test("a runtime that is too old is told in one line which ones will do", () => {
  requireRuntime();
  const error = assertThrows(() =>
    requireRuntime([
      ["iterator helpers", () => false],
      ["something else", () => true],
    ])
  );
  assertEquals(
    (error as Error).message,
    `@dashi/mq needs Deno 2, Node 22 or Bun 1.2, or a later one; this is ${navigator.userAgent}, which lacks iterator helpers`,
  );
});
