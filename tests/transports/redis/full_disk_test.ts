/** A disk that is full. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/redis";
import { hasRedis, startRedis } from "../../brokers/redis.ts";
import { hold } from "../../support/redis_held.ts";
import { fillBroker, onSmallDisk } from "../../support/small_disk.ts";

// With "always" the server ends itself: it has confirmed nothing that it could not write.
const ARGUMENTS = ["--appendfsync", "everysec"];
const reason = hasRedis() ? undefined : "redis-server is not on this machine";

onSmallDisk(
  "redis: where the disk is full a publish says so, and all goes on when there is room",
  24,
  (disk) =>
    fillBroker(disk, {
      start: (dir) => startRedis({ dir, arguments: ARGUMENTS }),
      words: /MISCONF.*No space left on device/,
      bytes: 200_000,
      flows: false,
    }),
  reason,
);

onSmallDisk(
  "redis: where the disk is full what is worked on stays there, and is acked when there is room",
  24,
  async (disk) => {
    const server = await startRedis({ dir: disk.folder, arguments: ARGUMENTS });
    try {
      await using connection = createConnection(server.url, {
        onUnhandled: () => {},
      });
      const queue = new Queue<string>("filled");
      await connection.send(queue, "first");
      const native = await connection.native(nativeClient);
      const held = hold(connection, queue);
      await held.working;
      disk.fill();
      let refusal = "";
      for (let n = 0; n < 100 && !refusal.includes("MISCONF"); n++) {
        await connection.send(queue, "x".repeat(200_000), { timeout: 2000 })
          .catch((error) => refusal = error.message);
      }
      assert(refusal.includes("MISCONF"), refusal);
      held.goOn();
      disk.makeRoom();
      await connection.send(queue, "last", { timeout: 60_000 });
      await held.last;
      assertEquals(held.aborted(), 0);
      await held.end();
      assertEquals(held.count("first"), 1);
      assert(await connection.native(nativeClient) === native);
    } finally {
      await server.stop();
    }
  },
  reason,
);
