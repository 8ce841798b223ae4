/** How many statements an ordered queue costs. */

import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { unique } from "../../conformance/support.ts";
import { test, withClient, withSchema } from "../../support/postgres_client.ts";

/** Counts the statements of a kind from now on; what rolls back counts, too. */
function counting(schema: string, table: string, event: string): string {
  const name = `${table}_${event}`.toLowerCase();
  return `CREATE SEQUENCE ${schema}.${name};
    CREATE FUNCTION ${schema}.count_${name}() RETURNS trigger
      LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM nextval('${schema}.${name}');
        RETURN NULL;
      END $$;
    CREATE TRIGGER count_${name} AFTER ${event} ON ${schema}.${table}
      FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.count_${name}()`;
}

test("messages of many keys are taken together, and a key that has more costs one statement when its message is settled", (url) =>
  withSchema(url, (own, schema) =>
    withClient(url, async (client) => {
      await using connection = createConnection(own);
      const queue = new Queue<number>(unique("ordered"), { ordered: true });
      const producer = connection.producer({ queue });
      await producer.publishAll(
        Array(60).keys(),
        { each: (n) => ({ key: `key ${n % 20}` }) },
      );
      for (const [table, event] of COUNTED) {
        await client.query(counting(schema, table, event));
      }
      const count = async (table: string, event: string) => {
        const { rows } = await client.query(
          `SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS count
            FROM ${schema}.${table}_${event.toLowerCase()}`,
        );
        return Number(rows[0]?.count);
      };
      const messages = await connection.queue(queue).receive({ max: 20 });
      assertEquals(
        messages.map(({ payload }) => payload),
        [...Array(20).keys()],
      );
      // One looks for what is due.
      assertEquals(await count("places", "UPDATE"), 1 + 1);
      assertEquals(await count("lanes", "UPDATE"), 1);
      await Promise.all(messages.map((message) => message.ack()));
      assertEquals(await count("lanes", "UPDATE"), 1 + 20);
      assertEquals(await count("lanes", "DELETE"), 0);
    })));

const COUNTED = [
  ["places", "UPDATE"],
  ["lanes", "UPDATE"],
  ["lanes", "DELETE"],
] as const;
