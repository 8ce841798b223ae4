import { assertEquals, assertThrows } from "@std/assert";
import { createConnection } from "@dashi/mq";
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
    `@dashi/mq needs Deno 2, Node 22.12 or Bun 1.2.17, or a later one; this is ${navigator.userAgent}, which lacks iterator helpers`,
  );
});

Deno.test("a runtime that is too old is told so before a connection is made", () => {
  const { withResolvers } = Promise;
  Object.assign(Promise, { withResolvers: undefined });
  try {
    assertThrows(
      () => createConnection("memory://old"),
      Error,
      "lacks Promise.withResolvers",
    );
  } finally {
    Object.assign(Promise, { withResolvers });
  }
});
