/**
 * SQLite: a broker in a file, without a server, by `node:sqlite` on Deno (2.2 and later)
 * and Node (22.13 and later), and by `bun:sqlite` on Bun. All processes of a machine may
 * share the file, beside tables of one's own: ours begin with `dashi_`, and are made when
 * it is connected to.
 *
 * URL: `sqlite:path`, from the working directory (`sqlite:./orders.db`) or the root
 * (`sqlite:/var/lib/orders.db`); `sqlite:///path` and `sqlite:////path` are the same. The
 * file is made if it is not there, its folder is not. `sqlite::memory:` is a database that
 * the connections of the process share, and that is gone with the last of them.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `visibility_timeout` | `visibilityTimeout` | 30 s | how long a message stays with a connection that took it and is not heard of; seconds in the URL, ms in the options |
 * | `synchronous` | `synchronous` | `full` | `full`: what is confirmed outlives the machine's power, and what was acked right before may come again; `normal`: it outlives the process |
 * | `poll` | `poll` | 10 ms | how often a waiting process asks whether another has written; ms |
 *
 * Capabilities: all but `exchange-types`, and in memory all but `persistence`
 * and `transaction` too.
 *
 * - What a process does in one turn of its event loop is one transaction: many publishes,
 *   takes and acks wait for the disk together.
 * - A message is a row that is written once and removed once; to take it changes a small
 *   row beside it.
 * - One process writes at a time. Another that finds the file locked goes on with its other
 *   work, and tries again for up to `operationTimeout`.
 * - A call blocks the event loop while SQLite works: some ten microseconds for each message,
 *   and a transaction's wait for the disk.
 * - A lease is a row for each connection, renewed however long a handler works.
 * - The size of a queue with a limit of length is kept, not counted: a publish to one that is
 *   full costs as much, however long it is.
 * - The file does not shrink by itself: pages that are free are used again.
 * - Time is the machine's clock. Not for network file systems: SQLite's journal of writes
 *   needs memory that all processes share.
 *
 * @example Connect
 * ```ts
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("sqlite::memory:"); // or "sqlite:./orders.db"
 * await connection.connect();
 * ```
 *
 * @module
 */

export { inTransaction, type InTransactionOptions } from "../in_transaction.ts";
export {
  nativeClient,
  type SqliteDatabase,
  type SqliteStatement,
  type SqliteValue,
} from "./native_client.ts";
export type { SqliteTransportOptions } from "./options.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
