import { assertEquals } from "@std/assert";
import { missingExamples } from "./examples.ts";

Deno.test("every function and class of the entries has an example that asserts", async () => {
  assertEquals(await missingExamples(), []);
});
