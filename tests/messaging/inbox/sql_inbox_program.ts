// deno-lint-ignore-file no-console no-top-level-await -- a program
/** Counts messages in a database, each in the transaction of an inbox, until it is killed. */

import { createConnection, Queue } from "@dashi/mq";
import { createSqlInbox } from "@dashi/mq/inbox_sql";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";

/** What the program is to do. */
export interface InboxErrand {
  readonly database: string;
  readonly schema: string | undefined;
  readonly broker: string;
  readonly queue: string;
}

const { database, schema, broker, queue }: InboxErrand = JSON.parse(
  Deno.args[0] ?? "{}",
);
const connection = createConnection(broker, {
  transportOptions: broker.startsWith("redis")
    ? { visibilityTimeout: 1000 }
    : {},
});
const options = { window: 3_600_000 };

/** The statements of one effect: a row that must be there once, and a sum. */
const effectOf = (id: string) => [
  `INSERT INTO effects (id) VALUES ('${id}')`,
  "UPDATE totals SET count = count + 1",
];

const rest = () =>
  new Promise((resolve) => setTimeout(resolve, Math.random() * 10));

const consumer = connection.consumer<string>(new Queue(queue), { prefetch: 5 });
const begun = () => console.log("at work");
if (database.startsWith("sqlite:")) {
  const file = new DatabaseSync(database.slice("sqlite:".length));
  const inbox = createSqlInbox(file, options);
  await consumer.run(async (message) => {
    begun();
    const transaction = inbox.transactionOf(message);
    for (const each of effectOf(message.payload)) {
      transaction.exec(each);
      await rest();
    }
  }, { inbox, concurrency: 5 });
} else {
  const pool = new pg.Pool({
    connectionString: database,
    max: 5,
    options: schema === undefined ? undefined : `-c search_path=${schema}`,
  });
  const inbox = createSqlInbox<
    { query(text: string): Promise<unknown> }
  >(pool, options);
  await consumer.run(async (message) => {
    begun();
    const transaction = inbox.transactionOf(message);
    for (const each of effectOf(message.payload)) {
      await transaction.query(each);
      await rest();
    }
  }, { inbox, concurrency: 5 });
}
