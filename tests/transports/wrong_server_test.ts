/** A URL that leads to a server of another kind: each transport to each broker that is here. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, createConnection } from "../../mod.ts";
import { parseUrl } from "../../url/mod.ts";
import { freePort } from "../brokers/ports.ts";
import { TARGETS } from "../support/targets.ts";

/** The protocol of each broker, by its name in a URL of ours. */
const SPOKEN: ReadonlyMap<string, string> = new Map([
  ["AMQP", "AMQP"],
  ["REDIS", "Redis' protocol"],
  ["BEANSTALK", "beanstalkd's protocol"],
  ["SQS", "HTTP"],
  ["COUCHDB", "HTTP"],
  ["NATS", "NATS' protocol"],
  ["MONGODB", "MongoDB's protocol"],
]);

for (const { name, broker } of TARGETS) {
  for (const other of TARGETS) {
    const spoken = SPOKEN.get(other.broker);
    if (spoken === undefined || spoken === SPOKEN.get(broker)) continue;
    if (other.name === "amqp-client") continue; // the same broker as for amqp
    const { url, reason } = other;
    Deno.test({
      name:
        `${name}: connect() to what is ${other.name} says so, and does not try again${
          url === undefined ? ` (${reason})` : ""
        }`,
      ignore: url === undefined,
      fn: async () => {
        const { port } = parseUrl(url ?? "");
        await using connection = createConnection(
          `${name}://user:secret@127.0.0.1:${port}`,
          { connectTimeout: 30_000, onUnhandled: () => {} },
        );
        const error = await assertRejects(
          () => connection.connect(),
          ConnectionError,
          `speaks ${spoken}`,
        );
        assertEquals(error.retryable, false);
        assert(!error.message.includes("secret"), error.message);
      },
    });
  }
}

Deno.test("a server that says nothing that is known is tried until the time is up", async () => {
  const port = freePort();
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  const sockets: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const socket of listener) {
      sockets.push(socket);
      await socket.write(new TextEncoder().encode("220 mail.example.com\r\n"));
    }
  })();
  try {
    await using connection = createConnection(`redis://127.0.0.1:${port}`, {
      connectTimeout: 3000,
      onUnhandled: () => {},
    });
    const error = await assertRejects(() => connection.connect(), Error);
    assert(!error.message.includes("speaks"), error.message);
  } finally {
    listener.close();
    for (const socket of sockets) socket.close();
    await accepting;
  }
});

// MongoDB's driver has no way to give up a socket that it opens: it goes within its own
// time, of 11 s at most.
for (
  const scheme of [
    "amqp",
    "pika",
    "redis",
    "beanstalk",
    "couchdb",
    "sqs",
    "postgres",
  ]
) {
  Deno.test(`${scheme}: close() while a silent server is dialled leaves no socket`, async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const accepting = listener.accept();
    const connection = createConnection(
      `${scheme}://user:secret@127.0.0.1:${listener.addr.port}`,
      { connectTimeout: 60_000, onUnhandled: () => {} },
    );
    const connecting = connection.connect().catch(() => {});
    using socket = await accepting;
    const bytes = new Uint8Array(1024);
    await socket.read(bytes); // its greeting
    const began = performance.now();
    await connection.close();
    while (await socket.read(bytes).catch(() => null) !== null);
    assert(performance.now() - began < 30_000);
    await connecting;
  });
}
