// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
/** The settings of a broker: TLS, heartbeats, frames, memory. One server of our own for all of it, for a start costs eight seconds of a processor. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ConnectionError, createConnection, Queue } from "@dashi/mq";
import {
  findRabbitmq,
  type Rabbitmq,
  startRabbitmq,
} from "../../brokers/rabbitmq.ts";
import { freePort } from "../../brokers/server.ts";
import { type Client, CLIENTS, urlFor } from "../../support/amqp.ts";
import { certificates, hasOpenssl } from "../../support/certificates.ts";
import { unlessItStoodStill } from "../../support/standing_still.ts";

const reason = findRabbitmq() === undefined
  ? "RabbitMQ is not installed"
  : undefined;
const noTls = reason ??
  (await hasOpenssl() ? undefined : "openssl is not installed");

let broker: Rabbitmq;
let folder = "";

Deno.test.beforeAll(async () => {
  if (reason !== undefined) return;
  folder = await Deno.makeTempDir();
  if (noTls !== undefined) {
    broker = await startRabbitmq();
    return;
  }
  await certificates(folder);
  const tlsPort = freePort();
  broker = await startRabbitmq({
    tlsPort,
    config: [
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `ssl_options.cacertfile = ${folder}/ca.pem`,
      `ssl_options.certfile = ${folder}/server.pem`,
      `ssl_options.keyfile = ${folder}/server.key`,
      "ssl_options.verify = verify_peer",
      "ssl_options.fail_if_no_peer_cert = false",
    ].join("\n"),
  });
});

Deno.test.afterAll(async () => {
  if (reason !== undefined) return;
  await broker.stop();
  await Deno.remove(folder, { recursive: true });
});

const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);

/** Registers a test for each of the clients. */
function test(
  name: string,
  run: (client: Client) => Promise<void>,
  missing: string | undefined = reason,
): void {
  for (const client of CLIENTS) {
    Deno.test({
      name: `${client.name}: ${name}${
        missing === undefined ? "" : ` (${missing})`
      }`,
      ignore: missing !== undefined,
      fn: () => run(client),
    });
  }
}

/** Changes the settings that connections are told from now on, until it is disposed of. */
async function settings(
  set: Readonly<Record<string, number>>,
): Promise<AsyncDisposable> {
  const put = (key: string, value: string) =>
    broker.ask(`application:set_env(rabbit, ${key}, ${value})`);
  const before = new Map<string, string>();
  for (const [key, value] of Object.entries(set)) {
    const given = `element(2, application:get_env(rabbit, ${key}))`;
    before.set(key, await broker.ask(given));
    await put(key, String(value));
  }
  return {
    async [Symbol.asyncDispose]() {
      for (const [key, value] of before) await put(key, value);
    },
  };
}

test("TLS: with its authority's certificate", async (client) => {
  const url = broker.tlsUrl ?? "";
  await using connection = createConnection(url, {
    transport: client.name,
    tls: { ca: await read("ca.pem") },
  });
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  await connection.producer().publish("safe", {
    routingKey: status.name ?? "",
  });
  for await (const message of connection.consumer(queue)) {
    assertEquals(message.payload, "safe");
    await message.ack();
    break;
  }
}, noTls);

test("TLS: not without it", async (client) => {
  const url = broker.tlsUrl ?? "";
  await using connection = createConnection(url, { transport: client.name });
  const error = await assertRejects(
    () => connection.connect(),
    ConnectionError,
  );
  assert(error.message.includes("certificate"), error.message);
  assert(error.message.includes("tls: { ca }"), error.message);
  assertEquals(error.retryable, false);
}, noTls);

test("TLS: not with another's", async (client) => {
  const url = broker.tlsUrl ?? "";
  await using connection = createConnection(url, {
    transport: client.name,
    tls: { ca: await read("other.pem") },
  });
  await assertRejects(
    () => connection.connect(),
    ConnectionError,
    "certificate",
  );
}, noTls);

test(
  "TLS: not under another name, unless that is asked for",
  async (client) => {
    const url = broker.tlsUrl ?? "";
    const other = url.replace("localhost", "127.0.0.1");
    await using wrong = createConnection(other, {
      transport: client.name,
      tls: { ca: await read("ca.pem") },
    });
    await assertRejects(
      () => wrong.connect(),
      ConnectionError,
      "certificate",
    );
    await using named = createConnection(other, {
      transport: client.name,
      tls: { ca: await read("ca.pem"), servername: "localhost" },
    });
    await named.connect();
  },
  noTls,
);

test("TLS: without verifying, if that is asked for", async (client) => {
  const url = broker.tlsUrl ?? "";
  await using connection = createConnection(
    `${url}?ssl_cert_reqs=none`,
    { transport: client.name },
  );
  await connection.connect();
}, noTls);

test("TLS: with a client's certificate", async (client) => {
  const url = broker.tlsUrl ?? "";
  const [cert, key] = [
    await read("client.pem"),
    await read("client.key"),
  ];
  await using connection = createConnection(url, {
    transport: client.name,
    tls: { ca: await read("ca.pem"), cert, key },
  });
  await connection.connect();
  const listed = await broker.ask(
    "rabbit_networking:connection_info_all([peer_cert_subject])",
  );
  assert(listed.includes("CN=guest"), listed);
}, noTls);

test("TLS: to a port that speaks none", async (client) => {
  await using connection = createConnection(broker.url, {
    transport: client.name,
    tls: true,
    connectTimeout: 500,
  });
  await assertRejects(() => connection.connect(), ConnectionError);
}, noTls);

Deno.test({
  name:
    `amqp, amqp_client: a broker that asks for no heartbeats, and sets no limit to frames${
      reason === undefined ? "" : ` (${reason})`
    }`,
  ignore: reason !== undefined,
  fn: async () => {
    await using _ = await settings({ heartbeat: 0, frame_max: 0 });
    await Promise.all(CLIENTS.map(async (client) => {
      await unlessItStoodStill(1000, async () => {
        await using connection = createConnection(
          urlFor(client, broker.url),
          { heartbeat: 1000, reconnect: false },
        );
        const queue = new Queue("", { exclusive: true });
        const status = await connection.declare(queue);
        const producer = connection.producer();
        const bodies = [0, 131_063, 131_064, 131_065, 3_000_000].map((size) =>
          new Uint8Array(size).fill(206)
        );
        const sent = Promise.all(
          bodies.map((body) =>
            producer.publish(body, { routingKey: status.name ?? "" })
          ),
        );
        sent.catch(() => {});
        let seen = 0;
        for await (const message of connection.consumer(queue)) {
          assertEquals(message.payload, bodies[seen]);
          message.ack().catch(() => {});
          if (++seen === bodies.length) break;
        }
        await sent;
        // Twice two heartbeats: the broker sends those that we asked for.
        await new Promise((resolve) => setTimeout(resolve, 4000));
        assertEquals(connection.connected, true);
      });
    }));
  },
});

Deno.test({
  name:
    `amqp, amqp_client: a broker that asks for heartbeats more often than we do, of a consumer that only takes${
      reason === undefined ? "" : ` (${reason})`
    }`,
  ignore: reason !== undefined,
  fn: async () => {
    await using _ = await settings({ heartbeat: 1 });
    await Promise.all(CLIENTS.map(async (client) => {
      await unlessItStoodStill(1000, async () => {
        const url = urlFor(client, broker.url);
        await using sending = createConnection(url);
        await using taking = createConnection(url, { reconnect: false });
        const queue = new Queue(`taken by ${client.name}`);
        const producer = sending.producer({ declare: [queue] });
        await sending.declare(queue);
        const iterator = taking.consumer(queue, { autoAck: true })
          [Symbol.asyncIterator]();
        // Longer than our own heartbeats would do.
        const end = performance.now() + 7000;
        while (performance.now() < end) {
          const next = iterator.next();
          next.catch(() => {});
          await producer.publish(1, { routingKey: queue.name });
          assertEquals((await next).value?.payload, 1);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        await iterator.return?.();
        assertEquals(taking.connected, true);
      });
    }));
  },
});

test("a broker short of memory blocks publishing, which waits and is told, and unblocks it", async (client) => {
  const url = urlFor(client, broker.url);
  const mark = (part: number) =>
    broker.ask(`vm_memory_monitor:set_vm_memory_high_watermark(${part})`);
  await using connection = createConnection(url);
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  const producer = connection.producer();
  const events = connection.events()[Symbol.asyncIterator]();
  const first = events.next();
  await mark(0.00001);
  let settled = false;
  const sent = producer.publish(1, { routingKey: status.name ?? "" })
    .finally(() => settled = true);
  let result = await first;
  while (result.value?.type !== "blocked") {
    result = await events.next();
  }
  assert(result.value.reason.includes("memory"));
  assertEquals(settled, false);
  const { live, ready, healthy, reason } = connection.health();
  assertEquals([live, ready, healthy], [true, false, true]);
  assertEquals(reason, `the broker takes no messages: ${result.value.reason}`);
  await mark(0.4);
  while (result.value?.type !== "unblocked") {
    result = await events.next();
  }
  assertEquals(connection.health().ready, true);
  await sent;
  await events.return?.();
});

Deno.test({
  name: "a RabbitMQ of the tests would leave its crash dump in its own folder",
  ignore: reason !== undefined,
  fn: async () => {
    const dump = await broker.ask('os:getenv("ERL_CRASH_DUMP")');
    assertMatch(dump, /dashi-rabbitmq-[^/]*\/erl_crash\.dump/);
  },
});
