/** Tests of a user of `@dashi/mq/testing`, in the test runners that there are beside Deno's. */

/** A test runner, and a file of tests. */
export interface Runner {
  readonly title: string;
  /** The runtime that it needs, as npm has it. */
  readonly runtime: { readonly name: "node" | "bun"; readonly version: string };
  /** Its arguments; `TESTS` is the folder of the tests. */
  readonly args: readonly string[];
  /** Its words for three tests that pass, and the fourth that fails. */
  readonly passes: RegExp;
}

/** All of them. */
export const RUNNERS: readonly Runner[] = [
  {
    title: "tests in node:test",
    runtime: { name: "node", version: "24.0.0" },
    args: ["--test", "--test-reporter=tap", "TESTS/node.test.mjs"],
    passes: /# pass 3\n# fail 1\n/,
  },
  {
    title: "tests in Vitest",
    runtime: { name: "node", version: "24.0.0" },
    args: [
      "TESTS/node_modules/vitest/vitest.mjs",
      "run",
      "--root=TESTS",
      "--no-color",
      "vitest.test.mjs",
    ],
    passes: /Tests +1 failed \| 3 passed/,
  },
  {
    title: "tests in Bun's runner",
    runtime: { name: "bun", version: "1.2.17" },
    args: ["test", "TESTS/bun.test.mjs"],
    passes: /\b3 pass\n\s*1 fail\n/,
  },
];

/** The imports of each runner. */
const IMPORTS: Readonly<Record<string, string>> = {
  node: 'import { test } from "node:test";',
  vitest: 'import { test } from "vitest";',
  bun: 'import { test } from "bun:test";',
};

const TESTS = `
import assert from "node:assert/strict";
import { createConnection, Queue } from "@dashi/mq";
import { createTestBroker } from "@dashi/mq/testing";

const orders = new Queue("orders");

test("a handler is called again an hour later", async () => {
  const broker = createTestBroker();
  const { connection, clock, idle, published } = broker;
  const calls = [];
  const running = connection.consumer(orders).run(async () => {
    calls.push(clock.now());
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (calls.length < 3) throw new Error("no");
  }, { retry: { backoff: 3_600_000 } });
  await connection.send(orders, { id: 7 });
  await idle();
  assert.deepEqual(calls, [0]);
  await clock.advance(7_200_000);
  assert.deepEqual(calls, [0, 3_600_000, 7_200_000]);
  assert.deepEqual(published.map(({ payload }) => payload), [{ id: 7 }]);
  await broker.close();
  await running;
});

test("code that connects by a URL meets the broker", async () => {
  const broker = createTestBroker();
  const connection = createConnection(broker.url);
  await connection.declare(orders);
  await connection.send(orders, 1, { delay: 3_600_000 });
  await broker.clock.advance(3_600_000);
  assert.equal((await broker.connection.queue(orders).get()).payload, 1);
  await broker.close();
});

test("a connection that is refused is tried again", async () => {
  const broker = createTestBroker({ connection: { onUnhandled() {} } });
  const { connection, clock, faults } = broker;
  const refused = faults.refuse("connect", { times: 3 });
  await clock.advanceUntil(connection.connect());
  assert.equal(refused.hits, 3);
  await broker.close();
});

test("a wrong value fails", async () => {
  const broker = createTestBroker();
  try {
    await broker.connection.declare(orders);
    await broker.connection.send(orders, 1);
    assert.equal(broker.published.length, 2);
  } finally {
    await broker.close();
  }
});
`;

/**
 * Writes the tests, and makes a package of what was built, as npm's users have it.
 *
 * @param built The folder of the package in JavaScript.
 * @param folder The folder of the tests.
 * @returns Resolves when it is written.
 */
export async function writeTests(built: string, folder: string): Promise<void> {
  const manifest = {
    name: "@dashi/mq",
    version: "0.0.0",
    type: "module",
    exports: { ".": "./mod.js", "./testing": "./testing/mod.js" },
  };
  await Deno.writeTextFile(`${built}/package.json`, JSON.stringify(manifest));
  await Deno.writeTextFile(`${folder}/package.json`, '{"type":"module"}');
  for (const [name, imports] of Object.entries(IMPORTS)) {
    await Deno.writeTextFile(`${folder}/${name}.test.mjs`, imports + TESTS);
  }
}
