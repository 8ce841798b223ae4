/**
 * PostgreSQL by npm:pg, in tables of a schema of their own, which are made when it is
 * connected to.
 *
 * URL: `postgres://[username[:password]@][hostname][:port]/[database]`, and
 * `postgresql://`. Without more it is `postgres://localhost:5432`; the database is the
 * user's name then. TLS by `?ssl=1`, which verifies.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `visibility_timeout` | `visibilityTimeout` | 30 s | how long a message stays with a connection that took it and is not heard of; seconds in the URL, ms in the options |
 * | `schema` | `schema` | `dashi` | the schema of the tables |
 * | `poll` | `poll` | 10,000 ms | how often a waiting connection looks whether a notice was missed; ms. 200 ms behind a pooler; else the `heartbeat`, where that is shorter |
 *
 * Capabilities: all but `exchange-types`.
 *
 * - Each connection is two of the server's: one for transactions, one that listens. What it
 *   does in one turn of the event loop is one transaction.
 * - Takes of several processes do not wait for each other (`FOR UPDATE SKIP LOCKED`). Those
 *   of an ordered queue do, and so do publishes to a queue with a limit of length, whose
 *   size is kept, not counted.
 * - Waiting consumers hear of what is put by `NOTIFY`. Behind
 *   PgBouncer, in any of its modes, they look by themselves, and nothing is prepared.
 * - Publishes and acks wait for the server's disk. Takes alone do not.
 * - Time is the server's, as it was when the connection was made.
 *
 * @example Connect
 * ```ts ignore needs PostgreSQL
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("postgres://user:secret@localhost/shop");
 * await connection.connect();
 * ```
 *
 * @module
 */

export { nativeClient, type PgClient } from "./native_client.ts";
export type { PostgresTransportOptions } from "./options.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
