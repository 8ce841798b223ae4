import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  AuthenticationError,
  type Connection,
  ConnectionError,
  Queue,
} from "@dashi/mq";
import { inTime, rejectsWith } from "../../conformance/support.ts";
import { startRedis } from "../../brokers/redis.ts";
import { freePort, until } from "../../brokers/server.ts";
import { certificates } from "../../support/certificates.ts";
import { connectTo, Raw, test, testAlone } from "../../support/redis.ts";

/** One attempt, with its error as it is. */
const ONCE = { reconnect: false } as const;

async function assertWorks(connection: Connection): Promise<void> {
  const queue = new Queue("works");
  const producer = connection.producer<string>({ declare: [queue] });
  await producer.publish("here", { routingKey: queue.name });
  // A large batch is written in another way.
  const large = "x".repeat(20_000);
  await producer.publish(large, { routingKey: queue.name });
  const came: string[] = [];
  for await (const message of connection.consumer<string>(queue)) {
    await message.ack();
    if (came.push(message.payload) === 2) break;
  }
  assertEquals(came, ["here", large]);
}

testAlone(
  "rediss:// verifies the server, and shows a client's certificate",
  async () => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    const port = freePort();
    const server = await startRedis({
      arguments: ["--tls-port", String(port)].concat(
        ...["--tls-cert-file", `${folder}/server.pem`],
        ...["--tls-key-file", `${folder}/server.key`],
        ...["--tls-ca-cert-file", `${folder}/ca.pem`],
        ...["--tls-auth-clients", "optional"],
      ),
    });
    try {
      const [ca, other] = [await read("ca.pem"), await read("other.pem")];
      const url = `rediss://localhost:${port}/0`;
      {
        await using connection = connectTo(url, { tls: { ca } });
        await assertWorks(connection);
      }
      for (
        const [why, tls, to] of [
          ["the system's authorities", undefined, url],
          ["another authority", { ca: other }, url],
          ["another name", { ca }, `rediss://127.0.0.1:${port}/0`],
        ] as const
      ) {
        await using connection = connectTo(to, {
          ...ONCE,
          ...(tls === undefined ? {} : { tls }),
        });
        const error = await assertRejects(
          () => connection.connect(),
          ConnectionError,
          "certificate",
        );
        assertEquals([why, error.retryable], [why, false]);
      }
      {
        await using connection = connectTo(`rediss://127.0.0.1:${port}/0`, {
          tls: { ca, servername: "localhost" },
        });
        await assertWorks(connection);
      }
      {
        await using connection = connectTo(`${url}?ssl_cert_reqs=none`);
        await assertWorks(connection);
      }
      await using raw = new Raw(server.port);
      await raw.send("CONFIG", "SET", "tls-auth-clients", "yes");
      {
        await using connection = connectTo(url, {
          tls: {
            ca,
            cert: await read("client.pem"),
            key: await read("client.key"),
          },
        });
        await assertWorks(connection);
      }
      {
        await using connection = connectTo(url, { ...ONCE, tls: { ca } });
        await assertRejects(() => connection.connect(), ConnectionError);
      }
      {
        await using connection = connectTo(
          `rediss://localhost:${server.port}/0`,
          {
            ...ONCE,
            tls: { ca },
            connectTimeout: 1000,
          },
        );
        // The server waits for more: it takes the handshake for a command.
        await assertRejects(
          () => connection.connect(),
          ConnectionError,
          "in time",
        );
      }
    } finally {
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testAlone(
  "redis+socket:// is a Unix socket, with a database and a password",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "dashi-" });
    const path = `${folder}/redis.sock`;
    const server = await startRedis({
      password: "secret",
      arguments: ["--unixsocket", path],
    });
    try {
      await using connection = connectTo(
        `redis+socket://:secret@${path}?virtual_host=3`,
      );
      await assertWorks(connection);
      const producer = connection.producer();
      await producer.publish(1, { routingKey: "works" });
      assert(
        (await server.command("INFO", "keyspace")).includes("db3:"),
        "it is not in database 3",
      );
      await using wrong = connectTo(`redis+socket://${path}`, ONCE);
      await assertRejects(() => wrong.connect(), AuthenticationError);
      await using missing = connectTo(`redis+socket://${path}.not`, ONCE);
      const error = await assertRejects(
        () => missing.connect(),
        ConnectionError,
      );
      assert(!(error instanceof AuthenticationError));
      assertEquals(error.retryable, true);
    } finally {
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
);

test("users of the server's access list log in, by a password or by a function that is asked each time", async (server) => {
  await using raw = new Raw(server.port);
  const rules = ["on", "~*", "&*", "+@all"];
  await raw.send("ACL", "SETUSER", "worker", ">first/@:", ...rules);
  const host = `127.0.0.1:${server.port}`;
  {
    await using connection = connectTo(
      `redis://worker:${encodeURIComponent("first/@:")}@${host}/0`,
    );
    await assertWorks(connection);
  }
  let asked = 0;
  const passwords = ["first/@:", "second"];
  await using connection = connectTo(`redis://worker@${host}/0`, {
    password: () => Promise.resolve(passwords[asked++] ?? "none"),
  });
  await assertWorks(connection);
  assertEquals(asked, 1);
  await raw.send("ACL", "SETUSER", "worker", "resetpass", ">second");
  await raw.send("CLIENT", "KILL", "USER", "worker");
  await assertWorks(connection);
  assertEquals(asked, 2);
  for (const password of ["wrong", ""]) {
    await using wrong = connectTo(`redis://worker@${host}/0`, {
      ...ONCE,
      password,
    });
    const error = await assertRejects(
      () => wrong.connect(),
      AuthenticationError,
    );
    assertEquals([error.retryable, error.outcome], [false, "not-sent"]);
    assert(!Deno.inspect(error).includes("second"));
  }
});

test("a user who may use some keys alone is refused others with an access error, and goes on", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send(
    ...["ACL", "SETUSER", "mine", "on", ">secret", "&*", "+@all"] as const,
    ...["~app:*"],
  );
  await using connection = connectTo(
    `redis://mine:secret@127.0.0.1:${server.port}/0`,
    { transportOptions: { globalKeyPrefix: "app:" } },
  );
  await assertWorks(connection);
  await using other = connectTo(
    `redis://mine:secret@127.0.0.1:${server.port}/0`,
    ONCE,
  );
  await assertRejects(() => other.connect(), AccessRefusedError);
});

testAlone(
  "rediss:// of a cluster verifies each node by the name in the URL, whatever address it tells",
  async () => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const [port, bus] = [freePort(), freePort()].map(String);
    const server = await startRedis({
      arguments: ["--tls-port", `${port}`, "--cluster-enabled", "yes"].concat(
        ...["--cluster-port", `${bus}`, "--cluster-announce-ip", "127.0.0.1"],
        ...["--tls-cert-file", `${folder}/server.pem`],
        ...["--tls-key-file", `${folder}/server.key`],
        ...["--tls-ca-cert-file", `${folder}/ca.pem`],
        ...["--tls-auth-clients", "no", "--tls-cluster", "yes"],
      ),
    });
    try {
      await server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
      await until(
        "The cluster",
        20_000,
        async () =>
          (await server.command("CLUSTER", "INFO")).includes("state:ok"),
      );
      const ca = await Deno.readTextFile(`${folder}/ca.pem`);
      const url = `rediss://localhost:${port}/0?cluster=1`;
      await using connection = connectTo(url, { tls: { ca } });
      await assertWorks(connection);
      await using stranger = connectTo(url, ONCE);
      await assertRejects(() => stranger.connect(), ConnectionError);
    } finally {
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
);

test("rediss:// to a server without TLS, which says nothing to it, fails with a word of TLS", async (server) => {
  const url = server.url.replace("redis:", "rediss:");
  for (const to of [url, `${url}?cluster=1`]) {
    const why = "has not answered the TLS handshake; write redis://";
    // A machine that stands still until the deadline hears of nothing else.
    await inTime([1500, 6000], async (connectTimeout) => {
      const options = { ...ONCE, connectTimeout };
      await using connection = connectTo(to, options);
      await rejectsWith(connection.connect(), "connection-failed", why);
    });
  }
});
