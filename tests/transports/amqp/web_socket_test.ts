// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the test is named
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AuthenticationError,
  ConnectionError,
  createConnection,
  NotFoundError,
  OptionError,
  Queue,
} from "@dashi/mq";
import { freePort } from "../../brokers/server.ts";
import { type Client, CLIENTS, testOne } from "../../support/amqp.ts";
import { certificates, hasOpenssl } from "../../support/certificates.ts";
import { Proxy } from "../../support/proxy.ts";
import { startRelay } from "../../support/relay.ts";
import { SLACK } from "../../support/slack.ts";
import { unlessItStoodStill } from "../../support/standing_still.ts";

const [, second] = CLIENTS;

function test(name: string, run: (client: Client) => Promise<void>): void {
  assert(second !== undefined);
  testOne(second, `WebSocket: ${name}`, run);
}

const certified = await hasOpenssl()
  ? test
  : (name: string) =>
    Deno.test.ignore(`${name} (openssl is not installed)`, () => {});

const urlOf = (port: number, query = "") =>
  `ws://guest:guest@127.0.0.1:${port}//${query}`;

/** Sends bodies there and back, all in flight at once. */
async function echo(url: string, sizes: readonly number[]): Promise<void> {
  await using connection = createConnection(url);
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  const producer = connection.producer();
  const bodies = sizes.map((size) => new Uint8Array(size).fill(size));
  const sent = Promise.all(
    bodies.map((body) =>
      producer.publish(body, { routingKey: status.name ?? "" })
    ),
  );
  let seen = 0;
  for await (const message of connection.consumer(queue)) {
    assertEquals(message.payload, bodies[seen++]);
    void message.ack();
    if (seen === bodies.length) break;
  }
  await sent;
}

test("messages of all sizes go there and back", async ({ url }) => {
  await using relay = startRelay(url);
  await echo(urlOf(relay.port), [
    ...[0, 1, 125, 126, 65_535, 65_536, 1_000_000],
    ...Array.from({ length: 500 }, (_, i) => i),
  ]);
  // One for what it publishes, one for what it consumes.
  assertEquals(relay.requests, ["/ws", "/ws"]);
});

for (const size of [1, 2, 5, 8]) {
  test(`frames that come in messages of ${size} bytes are put together`, async ({ url }) => {
    await using relay = startRelay(url);
    relay.split(size);
    await echo(urlOf(relay.port), [0, 1, 300, 3000]);
  });
}

test("messages that come in pieces are put together", async ({ url }) => {
  await using relay = startRelay(url);
  await using proxy = Proxy.to(`http://127.0.0.1:${relay.port}`);
  proxy.split(3);
  await echo(urlOf(proxy.port), [0, 1, 300, 3000]);
});

test("the endpoint's path is a parameter, the virtual host the path", async ({ url }) => {
  await using relay = startRelay(url);
  await using first = createConnection(
    urlOf(relay.port, "?path=/ws/amqp%3Fa=1"),
  );
  await first.connect();
  await using second = createConnection(
    `ws://guest:guest@127.0.0.1:${relay.port}/nowhere`,
    { transportOptions: { path: "amqp é" }, reconnect: false },
  );
  const error = await assertRejects(() => second.connect(), NotFoundError);
  assert(error.message.includes('no virtual host "nowhere"'), error.message);
  assert(error.message.includes("?path="), error.message);
  assertEquals(relay.requests, ["/ws/amqp?a=1", "/amqp%20%C3%A9"]);
});

test("the path is refused where there is no endpoint", async ({ url }) => {
  await using connection = createConnection(`${url}?path=/ws`);
  const error = await assertRejects(() => connection.connect(), OptionError);
  assertEquals(error.code, "option-invalid");
});

test("connect() rejects with typed errors", async ({ url }) => {
  await using relay = startRelay(url);
  await using wrong = createConnection(
    urlOf(relay.port).replace(":guest@", ":hunter2@"),
  );
  await assertRejects(() => wrong.connect(), AuthenticationError);
  await using closed = createConnection(urlOf(freePort()), {
    reconnect: false,
  });
  const error = await assertRejects(() => closed.connect(), ConnectionError);
  assert(error.message.includes("REFUSED"), error.message);
});

test("connect() to an endpoint that has no WebSocket says what it answered", async () => {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("no", { status: 404 }),
  );
  await using connection = createConnection(urlOf(server.addr.port), {
    reconnect: false,
  });
  const error = await assertRejects(
    () => connection.connect(),
    ConnectionError,
  );
  assert(error.message.includes("404 Not Found"), error.message);
});

test("connect() to an endpoint that is silent ends at its deadline, and leaves no socket", async () => {
  const { promise: answer, resolve } = Promise.withResolvers<Response>();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => answer,
  );
  await using connection = createConnection(urlOf(server.addr.port), {
    connectTimeout: 300,
    reconnect: false,
  });
  const began = performance.now();
  await assertRejects(() => connection.connect());
  assert(performance.now() - began < SLACK);
  resolve(new Response());
});

test("pings are answered: an idle connection stays", async ({ url }) => {
  await unlessItStoodStill(500, async () => {
    await using relay = startRelay(url, { idleTimeout: 1 });
    await using connection = createConnection(urlOf(relay.port), {
      heartbeat: 0,
    });
    await connection.connect();
    await new Promise((resolve) => setTimeout(resolve, 3500));
    assertEquals([connection.connected, relay.requests.length], [true, 1]);
  });
});

test("text is no AMQP: the connection is lost, and opened again", async ({ url }) => {
  await using relay = startRelay(url);
  await using connection = createConnection(urlOf(relay.port));
  await connection.connect();
  const events = connection.events()[Symbol.asyncIterator]();
  const first = events.next();
  relay.say("hello");
  let result = await first;
  while (result.value?.type !== "lost") result = await events.next();
  assert(result.value.error.message.includes("text"));
  while (
    result.value?.type !== "state" || result.value.state.type !== "open"
  ) result = await events.next();
  await events.return?.();
  assertEquals(relay.requests.length, 2);
});

test("a black hole is noticed within two heartbeats and a second, and its socket goes", async ({ url }) => {
  await using relay = startRelay(url);
  await using proxy = Proxy.to(`http://127.0.0.1:${relay.port}`);
  await using connection = createConnection(urlOf(proxy.port), {
    heartbeat: 1000,
    reconnect: false,
  });
  await connection.connect();
  const events = connection.events()[Symbol.asyncIterator]();
  const first = events.next();
  const began = performance.now();
  proxy.stall();
  for (let result = await first; result.value?.type !== "lost";) {
    result = await events.next();
  }
  assert(performance.now() - began < 3000 + SLACK);
  await events.return?.();
});

certified(
  "wss:// verifies the endpoint",
  async ({ url }) => {
    const folder = await Deno.makeTempDir();
    try {
      await certificates(folder);
      const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
      const [ca, other] = [await read("ca.pem"), await read("other.pem")];
      await using relay = startRelay(url, {
        tls: { cert: await read("server.pem"), key: await read("server.key") },
      });
      const place = `wss://guest:guest@localhost:${relay.port}//`;
      await using safe = createConnection(place, { tls: { ca } });
      await safe.connect();
      assertEquals(safe.info().tls, true);
      await using named = createConnection(
        place.replace("localhost", "127.0.0.1"),
        { tls: { ca, servername: "localhost" } },
      );
      await named.connect();
      for (const tls of [undefined, { ca: other }]) {
        await using unsafe = createConnection(place, { tls });
        const error = await assertRejects(
          () => unsafe.connect(),
          ConnectionError,
          "certificate",
        );
        assertEquals(error.retryable, false);
      }
      await using elsewhere = createConnection(
        place.replace("localhost", "127.0.0.1"),
        { tls: { ca } },
      );
      await assertRejects(
        () => elsewhere.connect(),
        ConnectionError,
        "certificate",
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
