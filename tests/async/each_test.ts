import { assertEquals, assertRejects } from "@std/assert";
import { eachAtOnce, mapAtOnce } from "../../async/each.ts";
import { turn } from "../../async/turn.ts";

Deno.test("eachAtOnce() does so many at once, and each once", async () => {
  const done: number[] = [];
  let [running, most] = [0, 0];
  const failure = await eachAtOnce([1, 2, 3, 4, 5], 2, async (item) => {
    most = Math.max(most, ++running);
    await turn();
    running--;
    done.push(item);
  });
  assertEquals(failure, undefined);
  assertEquals([done.sort(), most], [[1, 2, 3, 4, 5], 2]);
});

Deno.test("eachAtOnce() begins no more behind a failure, and says what failed first", async () => {
  const begun: number[] = [];
  const failure = await eachAtOnce([1, 2, 3, 4], 2, async (item) => {
    begun.push(item);
    await turn();
    throw new Error(String(item));
  });
  assertEquals(failure, { item: 1, error: new Error("1") });
  assertEquals(begun, [1, 2]);
});

Deno.test("mapAtOnce() gives the results in the order of the list, and throws what failed first", async () => {
  const slowFirst = async (item: number) => {
    for (let i = item; i < 4; i++) await turn();
    if (item === 0) throw new Error("nothing");
    return 10 * item;
  };
  assertEquals(await mapAtOnce([1, 2, 3, 4], 3, slowFirst), [10, 20, 30, 40]);
  assertEquals(await mapAtOnce([], 3, slowFirst), []);
  await assertRejects(
    () => mapAtOnce([3, 0, 2], 2, slowFirst),
    Error,
    "nothing",
  );
});
