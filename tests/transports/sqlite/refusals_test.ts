/** A file that refuses statements, and rows that somebody else has written or removed. */

import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { nativeClient, type SqliteDatabase } from "@dashi/mq/sqlite";
import { rejectsWith, until } from "../../conformance/support.ts";

/** Lends a connection to a file of its own, with a queue, and SQLite underneath. */
async function onFile(
  run: (at: {
    readonly connection: Connection;
    readonly queue: Queue<string>;
    readonly native: SqliteDatabase;
    readonly url: string;
  }) => Promise<void>,
  opensAnew = false,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const url = `sqlite:${folder}/orders.db`;
  try {
    await using connection = createConnection(url, { onUnhandled: () => {} });
    const queue = new Queue<string>("orders");
    await connection.declare(queue);
    const native = await connection.native(nativeClient);
    await run({ connection, queue, native, url });
    const isSame = await connection.native(nativeClient) === native;
    assertEquals(isSame, !opensAnew);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("sqlite: where there is no room a publish waits, and what is in hand stays there", () =>
  onFile(async ({ connection, queue, native }) => {
    await connection.send(queue, "held");
    const held = await connection.queue(queue).get();
    const [count] = native.prepare("PRAGMA page_count").all();
    const { page_count: pages } = Object(count);
    native.exec(`PRAGMA max_page_count = ${pages}`);
    let isDone = false;
    const sending = connection.send(queue, "x".repeat(1_000_000))
      .finally(() => isDone = true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert(!isDone);
    native.exec("PRAGMA max_page_count = 1073741823");
    await sending;
    await held?.ack();
    const message = await connection.queue(queue).get();
    assertEquals(message?.payload.length, 1_000_000);
  }));

Deno.test("sqlite: of publishes that leave together the one that is refused fails alone", () =>
  onFile(async ({ connection, queue, native }) => {
    native.exec(`CREATE TRIGGER unlucky BEFORE INSERT ON dashi_places
      WHEN NEW.size = 13 BEGIN SELECT RAISE(ABORT, 'thirteen'); END`);
    await connection.send(queue, "held");
    const held = await connection.queue(queue).get();
    const lengths = Array.from({ length: 20 }, (_, i) => i + 1);
    const results = await Promise.allSettled(
      lengths.map((length) => connection.send(queue, "x".repeat(length))),
    );
    const failed = results.flatMap((each, i) =>
      each.status === "rejected" ? [[i + 1, each.reason]] : []
    );
    assertEquals(failed.length, 1, String(failed));
    const [[length, error]] = failed as [[number, Error]];
    assertEquals(length, 13);
    assert(error.message.includes("thirteen"), error.message);
    assertEquals((await connection.queueStatus(queue)).messageCount, 19);
    await held?.ack();
  }));

Deno.test("sqlite: a body that somebody else wrote as a text is handed over as that", () =>
  onFile(async ({ connection, queue, native }) => {
    await connection.send(queue, "x");
    native.exec("UPDATE dashi_messages SET body = 'grüße'");
    const message = await connection.queue(queue).get();
    assertEquals(message?.payload, "grüße");
    await message?.ack();
  }));

Deno.test("sqlite: a number that no program can read is told, and not looked at for ever", () =>
  onFile(async ({ connection, queue, native }) => {
    await connection.send(queue, "x");
    native.exec("UPDATE dashi_places SET deliveries = 9223372036854775807");
    const error = await connection.queue(queue).get().catch((each) => each);
    assertEquals(error?.code, "decode-failed", String(error));
    native.exec("UPDATE dashi_places SET deliveries = 0");
    const message = await connection.queue(queue).get();
    await message?.ack();
  }));

Deno.test("sqlite: what was held when the table of holders was emptied comes again to who connects next", () =>
  onFile(async ({ connection, queue, native, url }) => {
    await connection.send(queue, "held");
    const held = await connection.queue(queue).get();
    assertEquals(held?.payload, "held");
    native.exec("DELETE FROM dashi_holders");
    await using later = createConnection(url);
    const again = await later.queue<string>(queue.name).get();
    assertEquals([again?.payload, again?.deliveryInfo.redelivered], [
      "held",
      true,
    ]);
    await again?.ack();
  }));

Deno.test("sqlite: a file that is removed while it is open is made again before a second is over", () =>
  onFile(async ({ connection, queue, url }) => {
    await connection.send(queue, "gone");
    const path = url.slice("sqlite:".length);
    for (const end of ["", "-wal", "-shm"]) await Deno.remove(path + end);
    const isThere = async () => {
      await connection.send(queue, "here");
      return await Deno.stat(path).then(() => true, () => false);
    };
    await until(isThere, "the file");
    await using later = createConnection(url);
    const message = await later.queue<string>(queue.name).get();
    assertEquals(message?.payload, "here");
    await message?.ack();
  }, true));

Deno.test("sqlite: a file that is truncated while it is open is told before a second is over, and made again where it is removed", () =>
  onFile(async ({ connection, queue, native, url }) => {
    const told = Promise.withResolvers<string>();
    const path = url.slice("sqlite:".length);
    connection.use({
      event: (event) => {
        if (event.type !== "lost") return;
        told.resolve(event.error.message);
        for (const end of ["", "-wal", "-shm"]) {
          try {
            Deno.removeSync(path + end);
          } catch {
            // It was not there.
          }
        }
      },
    });
    await connection.send(queue, "gone");
    native.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    await Deno.truncate(path, 0);
    let isTold = false;
    told.promise.then(() => isTold = true);
    await until(async () => {
      await connection.send(queue, "here");
      return isTold;
    }, "word of it");
    const why = await told.promise;
    assert(why.includes("truncated"), why);
    await using later = createConnection(url);
    const message = await later.queue<string>(queue.name).get();
    assertEquals(message?.payload, "here");
    await message?.ack();
  }, true));

Deno.test("sqlite: a file whose pages somebody has overwritten is told as damaged", () =>
  onFile(async ({ connection, queue, url }) => {
    for (let i = 0; i < 20; i++) {
      await connection.send(queue, "x".repeat(10_000));
    }
    const path = `${url.slice("sqlite:".length)}.copy`;
    const native = await connection.native(nativeClient);
    native.exec(`VACUUM INTO '${path}'`);
    {
      using file = await Deno.open(path, { write: true });
      await file.seek(4096, Deno.SeekMode.Start);
      await file.write(new Uint8Array(100_000).fill(65));
    }
    await using copy = createConnection(`sqlite:${path}`);
    const error = await copy.connect().catch((each) => each);
    assertEquals(error?.code, "precondition-failed", String(error));
    assert(error.message.includes("damaged"), error.message);
  }));

for (
  const [table, column] of [
    ["places", "size"],
    ["messages", "head"],
    ["meta", "changes"],
  ] as const
) {
  Deno.test(`sqlite: a column that is missing (${table}.${column}) is named, and the connection goes on when it is back`, () =>
    onFile(async ({ connection, queue, native, url }) => {
      await connection.send(queue, "kept");
      const told: string[] = [];
      const noted = Promise.withResolvers<void>();
      connection.use({
        event: (event) => {
          if (event.type !== "state" || event.state.type !== "waiting") return;
          told.push(event.state.error.message);
          noted.resolve();
        },
      });
      const rename = `ALTER TABLE dashi_${table} RENAME COLUMN`;
      native.exec(`${rename} ${column} TO away`);
      const orders = connection.queue(queue);
      await rejectsWith(orders.get(), "connection-lost", "no such column");
      const getting = orders.get();
      await noted.promise;
      const file = new DatabaseSync(url.slice("sqlite:".length));
      file.exec(`${rename} away TO ${column}`);
      file.close();
      const message = await getting;
      assertEquals(message?.payload, "kept");
      await message?.ack();
      // As often as it tried.
      for (const why of told) {
        assert(why.includes(`dashi_${table}.${column}`), why);
        assert(why.includes("put it back"), why);
      }
    }, true));
}

Deno.test("sqlite: a client underneath that the user has closed is opened again", () =>
  onFile(async ({ connection, queue, native }) => {
    await connection.send(queue, "kept");
    Object(native).close();
    const message = await connection.queue(queue).get().catch(() =>
      connection.queue(queue).get()
    );
    assertEquals(message?.payload, "kept");
    await message?.ack();
  }, true));
