import { type Connection, createConnection, Queue } from "@dashi/mq";
import { unique } from "../conformance/support.ts";
import { type TestClient, withClient } from "./postgres_client.ts";

/** A queue of its own, a table of the user's, and a connection. */
export async function withShop(
  url: string,
  run: (shop: {
    readonly connection: Connection;
    readonly queue: Queue;
    readonly table: string;
    readonly client: TestClient;
  }) => Promise<void>,
): Promise<void> {
  await using connection = createConnection(url);
  const queue = new Queue(unique("queue"));
  const table = unique("orders").replaceAll("-", "_");
  await connection.declare(queue);
  await withClient(url, async (client) => {
    await client.query(`CREATE TABLE ${table} (id bigint)`);
    try {
      await run({ connection, queue, table, client });
    } finally {
      await client.query(`DROP TABLE ${table}`);
      await connection.queue(queue).delete();
    }
  });
}
