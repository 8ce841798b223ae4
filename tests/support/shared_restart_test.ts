import { assertEquals, assertRejects } from "@std/assert";
import { SharedRestart } from "./shared_restart.ts";

Deno.test("a server is restarted once, when all have asked who have not left", async () => {
  let restarts = 0;
  const shared = new SharedRestart(3, () => {
    restarts++;
    return Promise.resolve();
  });
  const first = shared.ask();
  const second = shared.ask();
  await Promise.resolve();
  assertEquals(restarts, 0);
  shared.leave();
  await Promise.all([first, second]);
  assertEquals(restarts, 1);
  const again = shared.ask();
  assertEquals(restarts, 1);
  shared.leave();
  await again;
  shared.leave();
  assertEquals(restarts, 2);
});

Deno.test("a restart that fails is told to all who have asked", async () => {
  const shared = new SharedRestart(
    2,
    () => Promise.reject(new Error("it did not start")),
  );
  const asked = [shared.ask(), shared.ask()];
  for (const each of asked) await assertRejects(() => each, Error, "did not");
});
