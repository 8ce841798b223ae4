// deno-lint-ignore-file no-top-level-await -- whether there is openssl must be known before its test is named
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createServer } from "node:net";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/nats";
import { connect } from "@nats-io/transport-node";
import { isInstalled, startNats } from "../../brokers/nats.ts";
import type { LastingServer } from "../../brokers/server.ts";
import { arrives, rejectsWith, until } from "../../conformance/support.ts";
import { certificates, hasOpenssl } from "../../support/certificates.ts";

/** One attempt, with its error as it is. */
const ONCE = { reconnect: false } as const;

/** A test on a server of its own. */
function testAlone(
  name: string,
  config: (folder: string) => string,
  run: (url: string, folder: string, server: LastingServer) => Promise<void>,
): void {
  Deno.test({
    name: `NATS: ${name}`,
    ignore: !isInstalled(),
    async fn() {
      const folder = await Deno.makeTempDir();
      if (config("").includes("tls")) await certificates(folder);
      const server = await startNats({ syncs: false, config: config(folder) });
      try {
        await run(server.url.replace("127.0.0.1", "localhost"), folder, server);
      } finally {
        await server.stop();
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

testAlone(
  "logins are a user, or a token; a permission that lacks is told at once",
  () =>
    `authorization {
  users = [
    { user: app, password: secret }
    { user: reader, password: secret, permissions: { publish: { deny: ["dashi.>"] } } }
  ]
}`,
  async (given) => {
    const at = (login: string) => given.replace("://", `://${login}@`);
    const queue = new Queue("q");
    await using connection = createConnection(at("app:secret"));
    await connection.declare(queue);
    await using wrong = createConnection(at("app:wrong"), ONCE);
    await rejectsWith(wrong.connect(), "authentication-failed");
    await using nobody = createConnection(given, ONCE);
    await rejectsWith(nobody.connect(), "authentication-failed");
    await using reader = createConnection(at("reader:secret"), ONCE);
    await rejectsWith(
      reader.send(queue, 1),
      "access-refused",
      'publish to "dashi.q"',
    );
  },
);

testAlone(
  "who may not hear, or not take, is told so, and waits for nothing",
  () =>
    `authorization {
  users = [
    { user: app, password: secret }
    { user: deaf, password: secret, permissions: { subscribe: { deny: ["_INBOX.>"] } } }
    { user: stale, password: secret, permissions: { subscribe: { deny: ["$KV.>"] } } }
    { user: writer, password: secret, permissions: { publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.dashi_q.>"] } } }
  ]
}`,
  async (given) => {
    const at = (login: string) => given.replace("://", `://${login}@`);
    for (const [user, subject] of [["deaf", "_INBOX."], ["stale", "$KV."]]) {
      await using connection = createConnection(at(`${user}:secret`), ONCE);
      await rejectsWith(
        connection.connect(),
        "access-refused",
        `no permission to subscribe to "${subject}`,
      );
    }
    await using writer = createConnection(at("writer:secret"), ONCE);
    const [queue, other] = [new Queue("q"), new Queue<number>("other")];
    const others = writer.consumer(other)[Symbol.asyncIterator]();
    const first = others.next();
    await writer.send(queue, 1);
    const taking = (async () => {
      for await (const _ of writer.consumer(queue));
    })();
    await rejectsWith(taking, "access-refused", "CONSUMER.MSG.NEXT.dashi_q.");
    await writer.send(other, 2);
    const { value } = await first;
    assertEquals(value?.payload, 2);
    await value?.ack();
    await others.return?.();
  },
);

testAlone(
  "who may not ack is told which right lacks, and holds up no end of a connection",
  () =>
    `authorization {
  users = [
    { user: worker, password: secret, permissions: { publish: { deny: ["$JS.ACK.>"] } } }
  ]
}`,
  async (given) => {
    const queue = new Queue<number>("q");
    const connection = createConnection(
      given.replace("://", "://worker:secret@"),
    );
    await connection.send(queue, 1);
    const held = await connection.queue<number>("q").get();
    await rejectsWith(
      held?.ack() ?? Promise.resolve(),
      "access-refused",
      'no permission to publish to "$JS.ACK.>"',
    );
    const began = performance.now();
    await connection.close({ drainTimeout: 20_000 });
    const took = performance.now() - began;
    assert(took < 10_000, `it took ${took} ms`);
  },
);

testAlone(
  "an account that is full refuses publishes, and is emptied by who connects then",
  () =>
    `accounts {
  A: { users: [{ user: app, password: secret }], jetstream: { max_file: 4MB } }
  S: { users: [{ user: system, password: secret }] }
}
system_account: S`,
  async (given) => {
    const url = given.replace("://", "://app:secret@");
    const queue = new Queue<{ id: number; fill: string }>("full");
    const confirmed: number[] = [];
    await using sender = createConnection(url, ONCE);
    let next = 0;
    // Until not even one of some bytes fits.
    for (const size of [100_000, 1000, 0]) {
      const fill = "x".repeat(size);
      for (;;) {
        const id = next++;
        try {
          // Due when there is room again: the server tries once to put them into the queue.
          await sender.send(
            queue,
            { id, fill },
            id % 7 ? {} : { delay: 10_000 },
          );
          confirmed.push(id);
        } catch (error) {
          const sent = Promise.reject(error);
          const { retryable, outcome } = Object(
            await rejectsWith(sent, "publish-refused", "resource limits"),
          );
          assertEquals([retryable, outcome], [true, "not-sent"]);
          break;
        }
      }
    }
    await using receiver = createConnection(url, ONCE);
    const seen = new Set<number>();
    const receiving = (async () => {
      for await (const message of receiver.consumer(queue)) {
        await message.ack();
        seen.add(message.payload.id);
        if (confirmed.every((id) => seen.has(id))) break;
      }
    })();
    await arrives(receiving, "all that was confirmed");
    assertEquals([...seen].sort((a, b) => a - b), confirmed);
    await sender.send(queue, { id: -1, fill: "" });
    assertEquals((await sender.queue(queue.name).status()).messageCount, 1);
  },
);

testAlone(
  "a token is a user without a password",
  () => `authorization { token: "s3cret" }`,
  async (given) => {
    const at = (login: string) => given.replace("://", `://${login}@`);
    await using connection = createConnection(at("s3cret"));
    await connection.connect();
    await using wrong = createConnection(at("other"), ONCE);
    await rejectsWith(wrong.connect(), "authentication-failed");
  },
);

testAlone(
  "an account without JetStream is refused for good, and told why",
  () =>
    `accounts { A: { users: [{ user: a, password: a }] } }
no_auth_user: a`,
  async (given) => {
    await using connection = createConnection(given, ONCE);
    await rejectsWith(
      connection.connect(),
      "precondition-failed",
      "JetStream",
    );
  },
);

testAlone(
  "an ack that a server which is ending reads no more is read when it is back",
  () => "",
  async (given, _, server) => {
    await using connection = createConnection(given);
    const queue = new Queue<number>("q");
    for (const each of [1, 2]) await connection.send(queue, each);
    const handle = connection.queue<number>("q");
    const [first, second] = [await handle.get(), await handle.get()];
    // A lame duck has ended JetStream, and has its clients still.
    const raw = await connect({ servers: new URL(given).host });
    Deno.kill(server.pid, "SIGUSR2");
    await until(
      () => raw.request("$JS.API.INFO").then(() => false, () => true),
      "the end of JetStream",
    );
    const settled = Promise.allSettled([first?.ack(), second?.requeue()]);
    await (await connection.native(nativeClient)).flush();
    await raw.close();
    await server.restart("SIGKILL"); // its JetStream has ended in order
    await settled;
    await until(async () => {
      const info = await connection.inspect().queue("q");
      return info?.ready === 1 && info.unacked === 0;
    }, "the one that was put back, alone");
  },
);

if (await hasOpenssl()) {
  testAlone(
    "tls:// verifies the server",
    (folder) =>
      `tls { cert_file: "${folder}/server.pem", key_file: "${folder}/server.key" }`,
    async (given, folder) => {
      const ca = await Deno.readTextFile(`${folder}/ca.pem`);
      const other = await Deno.readTextFile(`${folder}/other.pem`);
      const at = given.replace("nats://", "tls://");
      {
        await using connection = createConnection(at, { tls: { ca } });
        await connection.send(new Queue("q"), 1);
        await until(
          async () => (await connection.queueStatus("q")).messageCount === 1,
          "the message",
        );
      }
      await using wrong = createConnection(at, { ...ONCE, tls: { ca: other } });
      await rejectsWith(wrong.connect(), "connection-failed", "certificate");
      await using plain = createConnection(given, ONCE);
      await rejectsWith(plain.connect(), "connection-failed");
    },
  );
}

Deno.test("NATS: a server that resets the connection as it refuses a login ends no process", async () => {
  const info = { server_id: "x", version: "2.15.1", proto: 1, headers: true };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(
      `INFO ${JSON.stringify({ ...info, max_payload: 1 << 20 })}\r\n`,
    );
    socket.once("data", () =>
      socket.write(
        "-ERR 'Authorization Violation'\r\n",
        () => socket.resetAndDestroy(),
      ));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = Object(server.address());
  for (let i = 0; i < 30; i++) {
    await using connection = createConnection(
      `nats://app:wrong@127.0.0.1:${port}`,
      ONCE,
    );
    await assertRejects(() => connection.connect());
  }
  await new Promise((resolve) => server.close(resolve));
});
