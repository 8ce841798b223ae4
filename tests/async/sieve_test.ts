import { assert, assertEquals } from "@std/assert";
import { Sieve } from "../../async/sieve.ts";

Deno.test("Sieve tries many at once, and finds the culprits among them in a few attempts each", async () => {
  const culprits = new Set([3, 400, 401, 999]);
  const done: number[] = [];
  const found: number[] = [];
  let attempts = 0;
  const { promise: empty, resolve } = Promise.withResolvers<void>();
  const sieve = new Sieve<number>((items) => {
    attempts++;
    const at = items.findIndex((item) => culprits.has(item));
    if (at < 0) {
      done.push(...items);
      return Promise.resolve([]);
    }
    if (items.length === 1) {
      found.push(...items);
      return Promise.resolve([]);
    }
    done.push(...items.slice(0, at));
    return Promise.resolve(items.slice(at));
  }, () => {
    resolve();
    return Promise.resolve();
  });
  for (let i = 0; i < 1000; i++) sieve.add(i);
  await empty;
  assertEquals(found, [...culprits]);
  assertEquals(done.length, 996);
  assertEquals(done, done.toSorted((a, b) => a - b));
  assert(attempts < 80, `${attempts} attempts`);
});
