/**
 * CouchDB 3, by `fetch`: no client is needed. A virtual host is a database, a queue
 * is a range of document ids that sort as messages are to be delivered, and a message
 * is taken by writing the holder's name into its document: of two who try, one has
 * the right revision.
 *
 * URL: `couchdb://[username[:password]@][hostname][:port]/[database]`, and `couchdbs://`
 * or `?ssl=1` for TLS, which verifies. Without more it is
 * `couchdb://localhost:5984/dashi`; with TLS the port is 6984. The user logs in by
 * HTTP's basic authentication. The database is made if it is not there, which needs an
 * administrator; else a member of it will do. Of its name letters in lower case,
 * digits, `_`, `(`, `)`, `+` and `-` are kept; other bytes are written as `$` and two
 * hexadecimal digits, so that `Orders` and `orders` are two databases.
 *
 * | Parameter | In `transportOptions` | Default | Meaning |
 * | --- | --- | --- | --- |
 * | `visibility_timeout` | `visibilityTimeout` | 30 s | how long a message stays with a connection that took it and is not heard of; seconds in the URL, ms in the options |
 *
 * Capabilities: `persistence`, and those that every transport over records has.
 * `length-limit` is not among them, for counting a queue reads all of its ids. `declare`
 * and `checkQueue` count; publishing and consuming never do: a claim reads as many
 * documents as it takes, at any depth, and names alone of what others took.
 *
 * - Publishes, claims and acks of one turn leave as one request. A publish first asks
 *   whether the declarations changed (an `ETag`, a few bytes), for all of its turn.
 * - Declarations are one document, rewritten with each change: many thousands of
 *   queues are better spread over several databases. It carries the layout's version:
 *   a process that knows another layout refuses the database before it writes.
 * - A waiting consumer listens to the database's feed of changes, one request for the
 *   connection, and hears of every change there. Besides, it asks and writes about
 *   three small things every ten seconds.
 * - A lease is one document for each connection, renewed however long a handler works.
 *   A connection that is not heard of for `visibilityTimeout` loses what it took, half
 *   of that later at most, if another one waits for messages.
 * - Time is the server's as its `Date` headers tell it, so that a clock which is set
 *   wrong expires nothing.
 * - Removed documents keep nothing but their name and revision. CouchDB keeps these
 *   for ever, and walks over them where a queue is counted, or looked at for the first
 *   time by a connection: a database that carried many millions of messages is worth
 *   replacing.
 * - A message and its headers must fit into a document of 8,000,000 bytes, in base64:
 *   bodies of up to 5.9 MB.
 * - On a cluster two claims at the same moment may both succeed on different nodes;
 *   then a message is delivered twice. On one node never.
 *
 * @example Connect
 * ```ts ignore needs CouchDB
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("couchdb://user:secret@localhost/shop");
 * await connection.connect();
 * ```
 *
 * @module
 */

export type { CouchdbTransportOptions } from "./options.ts";
export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
