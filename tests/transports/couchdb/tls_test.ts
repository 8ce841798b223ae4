// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the test is named
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AuthenticationError,
  type Connection,
  ConnectionError,
  createConnection,
  Queue,
} from "@dashi/mq";
import { isInstalled, startCouchdb } from "../../brokers/couchdb.ts";
import { freePort, until } from "../../brokers/server.ts";
import { createSender } from "../../../transports/couchdb/https_client.ts";
import { certificates, hasOpenssl } from "../../support/certificates.ts";
import { Proxy } from "../../support/proxy.ts";

const openssl = await hasOpenssl() ? undefined : "openssl is not installed";
const reason = isInstalled()
  ? openssl
  : "run it by deno task test, which provides CouchDB";

const ONCE = { reconnect: false } as const;

async function assertWorks(connection: Connection): Promise<void> {
  const queue = new Queue("works");
  const producer = connection.producer<string>({ declare: [queue] });
  const consumer = connection.consumer<string>(queue)[Symbol.asyncIterator]();
  const first = consumer.next();
  await producer.publish("safe", { routingKey: queue.name });
  const { value } = await first;
  assertEquals(value?.payload, "safe");
  await value?.ack();
  // It comes by the feed: all that was there has been taken.
  const second = consumer.next();
  await producer.publish("x".repeat(1_000_000), { routingKey: queue.name });
  const { value: large } = await second;
  assertEquals(large?.payload.length, 1_000_000);
  await large?.ack();
  await consumer.return?.();
}

Deno.test({
  name: `couchdbs:// verifies the server, behind what ends TLS for it${
    reason === undefined ? "" : ` (${reason})`
  }`,
  ignore: reason !== undefined,
  fn: async (context) => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    const [ca, other] = [await read("ca.pem"), await read("other.pem")];
    const server = await startCouchdb({ keepsData: false });
    const proxy = Proxy.tlsTo(server.url, {
      cert: await read("server.pem"),
      key: await read("server.key"),
    });
    const wrongName = proxy.urlOf(server.url).replace("couchdb:", "couchdbs:");
    const url = wrongName.replace("127.0.0.1", "localhost");
    try {
      await context.step("with its authority's certificate", async () => {
        await using connection = createConnection(url, { tls: { ca } });
        await assertWorks(connection);
      });
      for (
        const [why, tls, to] of [
          ["the system's authorities", undefined, url],
          ["another authority", { ca: other }, url],
          ["another name", { ca }, wrongName],
        ] as const
      ) {
        await context.step(`not with ${why}`, async () => {
          await using connection = createConnection(to, {
            ...ONCE,
            ...(tls === undefined ? {} : { tls }),
          });
          const error = await assertRejects(
            () => connection.connect(),
            ConnectionError,
            "certificate",
          );
          assert(error.message.includes("tls: { ca }"), error.message);
          assert(!error.message.includes("secret"), error.message);
          assertEquals([error.code, error.retryable, error.outcome], [
            "connection-failed",
            false,
            "not-sent",
          ]);
        });
      }
      await context.step(
        "under another name, if that is asked for",
        async () => {
          await using named = createConnection(wrongName, {
            tls: { ca, servername: "localhost" },
          });
          await assertWorks(named);
          await using unchecked = createConnection(wrongName, {
            tls: { ca, checkHostname: false },
          });
          await assertWorks(unchecked);
        },
      );
      await context.step(
        "without verifying, if that is asked for",
        async () => {
          await using connection = createConnection(
            `${url}?ssl_cert_reqs=none`,
          );
          await assertWorks(connection);
        },
      );
      await context.step("refuses a wrong password", async () => {
        await using connection = createConnection(
          url.replace(":secret@", ":Wr0ng@"),
          { ...ONCE, tls: { ca } },
        );
        const error = await assertRejects(
          () => connection.connect(),
          AuthenticationError,
        );
        assert(!error.message.includes("Wr0ng"), error.message);
      });
      await context.step("with TLS to a port that speaks none", async () => {
        await using connection = createConnection(server.url, {
          ...ONCE,
          tls: { ca },
          connectTimeout: 2000,
        });
        await assertRejects(() => connection.connect(), ConnectionError);
      });
      for (const fault of ["cut", "stall"] as const) {
        await context.step(`goes on after a ${fault}`, async () => {
          await using connection = createConnection(url, {
            tls: { ca },
            heartbeat: 500,
          });
          const queue = new Queue(`after-${fault}`);
          const producer = connection.producer({ declare: [queue] });
          await connection.declare(queue);
          const messages = connection.consumer(queue)[Symbol.asyncIterator]();
          const first = messages.next();
          await producer.publish("before", { routingKey: queue.name });
          await (await first).value?.ack();
          const second = messages.next();
          const lost = (async () => {
            for await (const { type } of connection.events()) {
              if (type === "lost") break;
            }
          })();
          if (fault === "cut") proxy.cut();
          else proxy.stall();
          await lost;
          if (fault === "stall") proxy.heal();
          await producer.publish("after", { routingKey: queue.name });
          const { value } = await second;
          assertEquals(value?.payload, "after");
          await value?.ack();
          await messages.return?.();
        });
      }
    } finally {
      await proxy[Symbol.asyncDispose]();
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name:
    `createSender() sends requests whose answers are read, cancelled, aborted and cut${
      openssl === undefined ? "" : ` (${openssl})`
    }`,
  ignore: openssl !== undefined,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    const pauses: Promise<void>[] = [];
    async function* lines() {
      for (let i = 0; i < 30; i++) {
        yield new TextEncoder().encode("line\n");
        const pause = new Promise<void>((resolve) => setTimeout(resolve, 10));
        pauses.push(pause);
        await pause;
      }
    }
    const { promise: over, resolve: endAll } = Promise.withResolvers<void>();
    let silent = Promise.withResolvers<void>();
    let silences = 0;
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async ({ url }) => {
        if (url.endsWith("/silent")) {
          silences++;
          silent.resolve();
          await over;
        }
        return new Response(
          url.endsWith("/long") ? ReadableStream.from(lines()) : "x",
        );
      },
    );
    using _silence = { [Symbol.dispose]: endAll };
    const proxy = Proxy.tlsTo(`http://127.0.0.1:${server.addr.port}`, {
      cert: await read("server.pem"),
      key: await read("server.key"),
    });
    const sender = createSender({ ca: await read("ca.pem") });
    const outcomes: string[] = [];
    for (const path of ["short", "long"]) {
      for (const how of ["read", "cancel", "abort", "cut", "early"]) {
        const controller = new AbortController();
        const { signal } = controller;
        const url = `https://localhost:${proxy.port}/${path}`;
        const { body } = await sender.send(url, { method: "GET", signal });
        const reader = body?.getReader();
        let pieces = 0;
        if (how === "early") void reader?.cancel();
        const reading = (async () => {
          while ((await reader?.read())?.value !== undefined) {
            if (pieces++ > 0) continue;
            if (how === "cancel") void reader?.cancel();
            if (how === "abort") controller.abort();
            if (how === "cut") proxy.cut();
          }
          return "ended";
        })();
        const outcome = await reading.catch(() => "failed");
        outcomes.push(`${path}, ${how}: ${outcome}`);
      }
    }
    const ask = async (path: string, signal: AbortSignal | null = null) => {
      const url = `https://localhost:${proxy.port}/${path}`;
      const response = await sender.send(url, { method: "POST", signal });
      return await response.text();
    };
    // An aborted request is not sent again, though its socket was used before.
    for (let i = 1; i <= 3; i++) {
      assertEquals(await ask("short"), "x");
      const controller = new AbortController();
      const asking = ask("silent", controller.signal);
      await silent.promise;
      silent = Promise.withResolvers();
      controller.abort();
      await assertRejects(() => asking);
      assertEquals(await ask("short"), "x");
      assertEquals(silences, i);
    }
    endAll();
    // A request that finds its socket closed is sent by another.
    proxy.onSent = () => {
      proxy.onSent = () => {};
      proxy.cut();
    };
    assertEquals(await ask("short"), "x");
    sender.close();
    await proxy[Symbol.asyncDispose]();
    await server.shutdown();
    await Promise.all(pauses);
    await Deno.remove(folder, { recursive: true });
    // A short answer has come whole before it can be cut.
    assertEquals(outcomes, [
      "short, read: ended",
      "short, cancel: ended",
      "short, abort: ended",
      "short, cut: ended",
      "short, early: ended",
      "long, read: ended",
      "long, cancel: ended",
      "long, abort: failed",
      "long, cut: failed",
      "long, early: ended",
    ]);
  },
});

Deno.test({
  name: `createSender() shows a client's certificate${
    openssl === undefined ? "" : ` (${openssl})`
  }`,
  ignore: openssl !== undefined,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    const port = freePort();
    // It takes only who has one, and answers whose it is.
    const server = new Deno.Command("openssl", {
      args: ["s_server", "-www", "-quiet"].concat(
        ...["-accept", `127.0.0.1:${port}`, "-Verify", "1"],
        ...["-verify_return_error", "-CAfile", `${folder}/ca.pem`],
        ...["-cert", `${folder}/server.pem`, "-key", `${folder}/server.key`],
      ),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const ask = async (
      own: { readonly cert?: string; readonly key?: string },
    ) => {
      const sender = createSender({ ca: await read("ca.pem"), ...own });
      try {
        const url = `https://localhost:${port}/`;
        return await (await sender.send(url, { method: "GET" })).text();
      } finally {
        sender.close();
      }
    };
    try {
      const [cert, key] = [await read("client.pem"), await read("client.key")];
      await until("openssl", 30_000, async () => {
        (await Deno.connect({ port })).close();
        return true;
      });
      const answer = await ask({ cert, key });
      assert(/subject.*CN ?= ?guest/i.test(answer), answer);
      await assertRejects(() => ask({}));
    } finally {
      server.kill();
      await server.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
});
