/** The example for Workers publishes where Workers run: in workerd. */

import { assert, assertEquals } from "@std/assert";
import { createConnection } from "@dashi/mq";
import { startRelay } from "../support/relay.ts";
import { TARGETS } from "../support/targets.ts";
import { bundle, installWorkerd, serve } from "./workerd.ts";

const ROOT = new URL("../../", import.meta.url);

/** Which transports are tried, by which way. */
const WAYS = [
  ["redis", "by a socket of its own"],
  ["amqp", "by a socket of its own"],
  ["amqp-client", "by a socket of its own"],
  ["amqp-client", "by a WebSocket, through a relay"],
] as const;

const ways = WAYS.flatMap(([transport, way]) => {
  const url = TARGETS.find(({ name }) => name === transport)?.url;
  return url === undefined ? [] : [{ transport, way, url }];
});

Deno.test({
  name: `a Worker in workerd publishes on requests${
    ways.length === 0
      ? " (run it by deno task test, which provides the brokers)"
      : ""
  }`,
  ignore: ways.length === 0,
  fn: async (context) => {
    const queue = `dashi-workers-${crypto.randomUUID()}`;
    const tools = await installWorkerd();
    const folder = await Deno.makeTempDir();
    try {
      const program = await Deno.readTextFile(
        new URL("examples/deploy/worker.ts", ROOT),
      );
      assert(program.includes("timeout: 5000"));
      const patient = program.replace("timeout: 5000", "timeout: 60_000");
      await bundle(tools, patient.replace('"orders"', `"${queue}"`), folder);
      for (const { transport, way, url } of ways) {
        await context.step(`${transport}, ${way}`, async () => {
          await using relay = way.includes("relay")
            ? startRelay(url)
            : undefined;
          const used = relay === undefined ? url : relayed(url, relay.port);
          await publishes(tools, folder, used, url, queue);
          if (relay !== undefined) assertEquals(relay.requests.length, 2);
        });
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

function relayed(url: string, port: number): string {
  const { username, password, pathname } = new URL(
    url.replace(/^[\w-]+:/, "http:"),
  );
  return `ws://${username}:${password}@127.0.0.1:${port}${pathname}`;
}

/** Two requests are answered, each by a connection of its own, and both messages are there. */
async function publishes(
  tools: string,
  folder: string,
  used: string,
  url: string,
  queue: string,
): Promise<void> {
  await using worker = await serve(tools, folder, { BROKER_URL: used });
  const post = async (body: string) => {
    const response = await fetch(worker.address, { method: "POST", body });
    await response.body?.cancel();
    return response.status;
  };
  await using connection = createConnection(url);
  try {
    const statuses = [await post('{"id":1}'), await post('{"id":2}')];
    assertEquals([statuses, worker.printed], [[202, 202], ""]);
    assertEquals(await post('{"id":"1"}'), 400);
    const messages = await connection.queue(queue).receive();
    assertEquals(
      messages.map(({ payload, properties: { messageId } }) => [
        payload,
        messageId,
      ]),
      [[{ id: 1 }, "order-1"], [{ id: 2 }, "order-2"]],
    );
    for (const message of messages) await message.ack();
  } finally {
    await connection.queue(queue).delete();
  }
}
