import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals } from "@std/assert";
import { createConnection, OptionError, Queue } from "@dashi/mq";
import {
  createTransport,
  nativeClient,
  type TransportConnection,
} from "@dashi/mq/sqlite";
import { connect } from "../../conformance/broker.ts";
import { rejectsWith } from "../../conformance/support.ts";

async function withFolder(
  run: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-sqlite-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Opens a connection of the transport itself. */
function dial(url: string): Promise<TransportConnection> {
  const transport = createTransport();
  return connect({ transport, url, [Symbol.asyncDispose]: async () => {} });
}

Deno.test("a URL without a file says how one is named", async () => {
  for (const url of ["sqlite://", "sqlite://orders.db", "sqlite://a/b.db"]) {
    await using connection = createConnection(url);
    await rejectsWith(connection.connect(), "option-invalid", "sqlite:./");
  }
});

Deno.test("an option that is unknown or bad is refused by its name", async () => {
  for (
    const [url, word] of [
      ["sqlite::memory:?syncronous=full", "synchronous"],
      ["sqlite::memory:?poll=0", "poll"],
      ["sqlite::memory:?visibility_timeout=0.01", "visibility_timeout"],
    ] as const
  ) {
    await using connection = createConnection(url);
    const error = await connection.connect().then(() => undefined, (e) => e);
    assert(error instanceof OptionError, url);
    assert(error.message.includes(word), error.message);
  }
});

Deno.test("a file that is no database, or of another layout, is refused for good", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/text.db`, "no database ".repeat(100));
    await using text = createConnection(`sqlite:${folder}/text.db`);
    await rejectsWith(text.connect(), "precondition-failed", "text.db");

    const url = `sqlite:${folder}/later.db`;
    await using now = createConnection(url);
    await now.declare(new Queue("x"));
    const native = await now.native(nativeClient);
    native.exec("UPDATE dashi_meta SET layout = 99");
    await now.close();
    await using later = createConnection(url);
    await rejectsWith(later.connect(), "precondition-failed", "layout 99");
  }));

Deno.test("a file in a folder that is not there is a connection that may be had later", () =>
  withFolder(async (folder) => {
    const url = `sqlite:${folder}/missing/orders.db`;
    await rejectsWith(dial(url), "connection-failed", "missing");
  }));

Deno.test("a file that fails is opened anew, by the other connections of the process too", () =>
  withFolder(async (folder) => {
    const url = `sqlite:${folder}/orders.db`;
    const queue = new Queue("orders");
    const told: string[] = [];
    const noted = Promise.withResolvers<void>();
    await using connection = createConnection(url, {
      onUnhandled: (event) => {
        if (event.type !== "state" || event.state.type !== "waiting") return;
        told.push(event.state.error.message);
        noted.resolve();
      },
    });
    await using other = createConnection(url, { onUnhandled: () => {} });
    await connection.send(queue, 1);
    await other.connect();
    const native = await connection.native(nativeClient);
    native.exec("ALTER TABLE dashi_holders RENAME TO away");
    const orders = connection.queue("orders");
    await rejectsWith(orders.get(), "connection-lost", "dashi_holders");
    const getting = orders.get();
    await noted.promise;
    // The table that is missing is not made anew: others know its numbers.
    const file = new DatabaseSync(`${folder}/orders.db`);
    file.exec("ALTER TABLE away RENAME TO dashi_holders");
    file.close();
    assertEquals((await getting)?.payload, 1);
    assertEquals(told.length, 1);
    assert(/dashi_holders.*put it back/.test(told[0] ?? ""), told[0]);
    assert(await connection.native(nativeClient) !== native);
    await other.send(queue, 2);
    assertEquals((await other.queue("orders").get())?.payload, 2);
  }));

Deno.test("what is in memory is shared by the connections of the process, and gone with the last", async () => {
  const queue = new Queue("here");
  const first = createConnection("sqlite::memory:");
  const second = createConnection("sqlite::memory:");
  await first.connect();
  assertEquals(first.capabilities.has("persistence"), false);
  await first.send(queue, 1);
  assertEquals((await second.queue(queue.name).get())?.payload, 1);
  await first.close();
  await second.close();
  await using third = createConnection("sqlite::memory:");
  await rejectsWith(third.queue(queue.name).status(), "not-found");
});

Deno.test("the consumers of a queue are forgotten with it, by those who connect later too", () =>
  withFolder(async (folder) => {
    const url = `sqlite:${folder}/orders.db`;
    const queue = {
      name: "again",
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    };
    await using first = await dial(url);
    const channel = await first.openChannel();
    await channel.declareQueue(queue);
    await channel.consume("again", () => {}, {
      prefetch: 1,
    });
    {
      await using second = await dial(url);
      const other = await second.openChannel();
      assertEquals((await other.checkQueue("again")).consumerCount, 1);
      await other.deleteQueue("again");
      await other.declareQueue(queue);
    }
    await using third = await dial(url);
    const status = await (await third.openChannel()).checkQueue("again");
    assertEquals(status.consumerCount, 0);
  }));
