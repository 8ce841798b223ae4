/** A file that refuses statements, and rows that somebody else has written or removed. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/sqlite";

interface Native {
  exec(sql: string): void;
  prepare(sql: string): { all(): unknown[] };
}

/** Lends a connection to a file of its own, with a queue, and SQLite underneath. */
async function onFile(
  run: (at: {
    readonly connection: Connection;
    readonly queue: Queue<string>;
    readonly native: Native;
    readonly url: string;
  }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const url = `sqlite:${folder}/orders.db`;
  try {
    await using connection = createConnection(url);
    const queue = new Queue<string>("orders");
    await connection.declare(queue);
    const native = await connection.native(nativeClient) as Native;
    await run({ connection, queue, native, url });
    assert(await connection.native(nativeClient) === native, "it was lost");
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
