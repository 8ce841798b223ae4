/** A disk that is full. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/sqlite";
import { inTime, rejectsWith } from "../../conformance/support.ts";
import { onSmallDisk } from "../../support/small_disk.ts";

onSmallDisk(
  "sqlite: where the disk is full a publish says so and leaves nothing behind, and all goes on when there is room",
  8,
  async ({ folder, fill, makeRoom }) => {
    await using connection = createConnection(`sqlite:${folder}/orders.db`, {
      onUnhandled: () => {},
    });
    const queue = new Queue<string>("orders");
    await connection.send(queue, "held");
    const held = await connection.queue(queue).get();
    const native = await connection.native(nativeClient);
    fill();
    const large = "x".repeat(1_000_000);
    await inTime([3000, 12_000], async (timeout) => {
      const sending = connection.send(queue, large, { timeout });
      await rejectsWith(sending, "timed-out", "disk is full");
    });
    makeRoom();
    await held?.ack();
    await connection.send(queue, "next");
    // What was tried when there was room again may have been put all the same.
    const { messageCount } = await connection.queueStatus(queue);
    const bodies: number[] = [];
    for (let n = 0; n < messageCount; n++) {
      const message = await connection.queue(queue).get();
      bodies.push(message?.payload.length ?? 0);
      await message?.ack();
    }
    assertEquals(bodies.filter((each) => each !== 1_000_000), [4]);
    assert(await connection.native(nativeClient) === native);
  },
);

onSmallDisk(
  "sqlite: on a full disk messages flow in the room that the file has",
  8,
  async ({ folder, fill }) => {
    await using connection = createConnection(`sqlite:${folder}/orders.db`, {
      onUnhandled: () => {},
    });
    const queue = new Queue<string>("orders");
    await connection.declare(queue);
    const orders = connection.queue(queue);
    const native = await connection.native(nativeClient);
    const body = "x".repeat(10_000);
    for (let n = 0; n < 100; n++) await connection.send(queue, body);
    native.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    await orders.purge();
    fill(1_000_000);
    // More than goes into the journal, over and over.
    for (let n = 0; n < 200; n++) {
      await connection.send(queue, body);
      const message = await orders.get();
      assertEquals(message?.payload.length, body.length);
      await message?.ack();
    }
    assert(await connection.native(nativeClient) === native);
  },
);
