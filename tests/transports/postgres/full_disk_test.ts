/** A disk that is full. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { POSTGRES, startPostgres } from "../../brokers/postgres.ts";
import { onSmallDisk } from "../../support/small_disk.ts";

onSmallDisk(
  "postgres: where the write-ahead log has no room a publish fails, and all that was confirmed comes when the server has been started again",
  32,
  async (disk) => {
    const server = await startPostgres({ log: `${disk.folder}/wal` });
    try {
      await using connection = createConnection(server.url, {
        onUnhandled: () => {},
      });
      const queue = new Queue<Uint8Array>("filled");
      const sent: string[] = [];
      let count = 0;
      const send = async (timeout: number) => {
        const messageId = `m${count++}`;
        // Of what repeats itself little would be written.
        const body = crypto.getRandomValues(new Uint8Array(60_000));
        await connection.send(queue, body, { messageId, timeout });
        sent.push(messageId);
      };
      await send(30_000);
      disk.fill();
      let error: unknown;
      while (error === undefined) {
        assert(count < 1000, "the disk is not full");
        await send(3000).catch((each) => error = each);
      }
      assert(error instanceof MessagingError && error.retryable, `${error}`);
      disk.makeRoom();
      await server.restart();
      await send(60_000);
      const filled = connection.queue(queue);
      const seen = new Set<string | undefined>();
      for (let next = await filled.get(); next; next = await filled.get()) {
        seen.add(next.properties.messageId);
        await next.ack();
      }
      assertEquals(sent.filter((id) => !seen.has(id)), []);
    } finally {
      await server.stop();
    }
  },
  POSTGRES.isInstalled?.() ? undefined : "PostgreSQL is not on this machine",
);
