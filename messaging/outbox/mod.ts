/**
 * Outboxes: messages that are written in a transaction of yours, on PostgreSQL or SQLite,
 * and published from there to any broker, in order and at least once, under the same
 * message id each time.
 *
 * @example A row and a message, or neither
 * ```ts ignore needs PostgreSQL and RabbitMQ
 * import { createConnection } from "@dashi/mq";
 * import { createOutbox } from "@dashi/mq/outbox";
 *
 * const database = createConnection("postgres://localhost/shop");
 * const outbox = createOutbox(database);
 * await client.query("BEGIN");
 * await client.query("INSERT INTO orders VALUES (7)");
 * await outbox.publish({ id: 7 }, { queue: "orders", transaction: client });
 * await client.query("COMMIT");
 *
 * // In one process or in many, of which one is at work:
 * const broker = createConnection("amqp://localhost");
 * await outbox.relay(broker, { signal });
 * ```
 *
 * @module
 */

export { createOutbox, Outbox } from "./outbox.ts";
export type {
  OutboxEvent,
  OutboxOptions,
  OutboxPublishOptions,
  RelayOptions,
} from "./outbox_options.ts";
export type { OutboxStatus } from "../../transports/outbox.ts";
