import { assertEquals, assertRejects } from "@std/assert";
import { allTaken } from "../../../transports/store/taking.ts";

Deno.test("all that was taken is returned, and an error counts where nothing was", async () => {
  const refused = () => Promise.reject(new Error("refused"));
  const taken = (...all: number[]) => Promise.resolve(all);
  assertEquals(await allTaken([]), []);
  assertEquals(await allTaken([taken(1), taken(2, 3)]), [1, 2, 3]);
  assertEquals(await allTaken([refused(), taken(1)]), [1]);
  await assertRejects(() => allTaken([taken(), refused()]), Error, "refused");
});
