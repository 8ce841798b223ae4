/** Faults between us and MongoDB. */

import { assert, assertEquals } from "@std/assert";
import { createConnection } from "@dashi/mq";
import { freePort } from "../../brokers/server.ts";
import { MONGODB_URL, onMongodb } from "../../support/mongodb.ts";
import { Proxy } from "../../support/proxy.ts";

const IMPATIENT = { connectTimeout: 10_000, reconnect: false } as const;

// The driver looks at its machine while it first connects, and a connection that fails does
// not wait for that.
Deno.test.beforeAll(async () => {
  if (MONGODB_URL === undefined) return;
  await using connection = createConnection(MONGODB_URL, IMPATIENT);
  await connection.connect();
});

for (
  const [what, hosts] of [
    ["a port where nobody listens", `127.0.0.1:${freePort()}`],
    [
      "several, none of which is there",
      `127.0.0.1:${freePort()},127.0.0.1:${freePort()}`,
    ],
  ] as const
) {
  Deno.test(`mongodb: connect() to ${what} fails at once`, async () => {
    await using connection = createConnection(
      `mongodb://${hosts}/`,
      IMPATIENT,
    );
    const began = performance.now();
    const error = await connection.connect().catch((error) => error);
    const took = performance.now() - began;
    assertEquals(
      [error.name, error.code, error.retryable, error.outcome],
      ["ConnectionError", "connection-failed", true, "not-sent"],
    );
    assert(took < IMPATIENT.connectTimeout / 2, `it took ${took} ms`);
  });
}

onMongodb(
  "connect() to a server that hangs up dials it once, and asks it in two ways what it is",
  async () => {
    await using proxy = Proxy.to(MONGODB_URL ?? "");
    proxy.hangUp();
    const url = proxy.urlOf(MONGODB_URL ?? "");
    await using connection = createConnection(url, IMPATIENT);
    const error = await connection.connect().catch((error) => error);
    assertEquals(error.code, "connection-failed");
    assertEquals(proxy.accepted, 3);
  },
);
