import { checkShortString } from "../../model/checks.ts";
import { OptionError, UnsupportedError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Publishing } from "../../model/message.ts";
import type { OutboxRows, OutboxStatus } from "../../transports/outbox.ts";
import { Connection, insideOf } from "../connection/connection.ts";
import { checkKnown } from "../known_options.ts";
import type { OperationOptions } from "../operation_options.ts";
import {
  OUTBOX,
  OUTBOX_PUBLISH,
  type OutboxOptions,
  type OutboxPublishOptions,
  type RelayOptions,
} from "./outbox_options.ts";
import { checkTransaction } from "../publish/transactional.ts";
import { passOn } from "../publish/hooked_publisher.ts";
import { makeMessage, rowOf } from "./outbox_row.ts";
import { Relay } from "./relay.ts";

/**
 * Makes an outbox in a database.
 *
 * @param database A connection to `postgres://`, or to a file of `sqlite:`. Its tables are made when it connects.
 * @param options Its name.
 * @returns The outbox. It holds nothing that is to be closed.
 * @throws {OptionError} If that is no connection, or the name is none.
 *
 * @example In a file
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DatabaseSync } from "node:sqlite";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { createOutbox } from "@dashi/mq/outbox";
 * import { inTransaction } from "@dashi/mq/sqlite";
 *
 * const file = await Deno.makeTempFile({ suffix: ".db" });
 * await using database = createConnection(`sqlite:${file}`);
 * await database.connect();
 * const outbox = createOutbox(database);
 *
 * const shop = new DatabaseSync(file);
 * await inTransaction(shop, (transaction) =>
 *   outbox.publish({ id: 7 }, { queue: "orders", transaction }));
 * assertEquals((await outbox.status()).count, 1);
 *
 * await using broker = createConnection("memory://outbox");
 * const orders = new Queue<{ id: number }>("orders");
 * const end = new AbortController();
 * const relaying = outbox.relay(broker, { declare: [orders], signal: end.signal });
 * for await (const message of broker.consumer(orders)) {
 *   assertEquals(message.payload, { id: 7 });
 *   await message.ack();
 *   break;
 * }
 * end.abort();
 * await relaying;
 * shop.close();
 * ```
 */
export function createOutbox(
  database: Connection,
  options: OutboxOptions = {},
): Outbox {
  return new Outbox(database, options);
}

/**
 * Messages that are written in transactions of the caller's, and published from there.
 *
 * @example See {@linkcode createOutbox}
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection } from "@dashi/mq";
 * import { createOutbox } from "@dashi/mq/outbox";
 *
 * await using database = createConnection("sqlite::memory:");
 * assertEquals(createOutbox(database, { name: "orders" }).name, "orders");
 * ```
 */
export class Outbox {
  /** Its name in the database. */
  readonly name: string;
  readonly #database: ReturnType<typeof insideOf>;

  /** Made by {@linkcode createOutbox}. */
  constructor(database: Connection, options: OutboxOptions) {
    if (!(database instanceof Connection)) {
      throw new OptionError(
        `Cannot make an outbox of ${
          quote(database)
        }: give a connection to "postgres://" or "sqlite:", made by createConnection`,
      );
    }
    checkKnown(options, OUTBOX);
    const { name = "outbox" } = options;
    checkShortString('the "name" of an outbox', name);
    if (name === "") {
      throw new OptionError('Cannot make an outbox with an empty "name"');
    }
    this.name = name;
    this.#database = insideOf(database);
  }

  /**
   * Writes a message in a transaction: the relay publishes it when that has committed. It
   * passes the middlewares of the connection to the database now, with the `origin`
   * `outbox`, and those of the broker's connection when it is relayed, with `relay`.
   *
   * @typeParam T The type of the payload.
   * @returns The message id, which it has each time that it is published.
   * @throws {EncodeError} If the payload cannot be written.
   * @throws {ConnectionError} If the connection to the database is lost, and not made again yet.
   * @throws {OptionError} If an option is unknown, it goes nowhere, the transaction is none of this database, or the connection was never connected.
   * @throws {RangeError} If a number is out of range.
   * @throws {UnsupportedError} If the connection's database has no transactions of others.
   */
  async publish<T = unknown>(
    payload: T,
    options: OutboxPublishOptions<T>,
  ): Promise<string> {
    checkKnown(options, OUTBOX_PUBLISH);
    const { codecs, session } = this.#database;
    checkTransaction(options?.transaction, session);
    const given = options as OutboxPublishOptions;
    const message = await makeMessage(codecs, payload, given);
    const rows = await this.#rows();
    let messageId = message.properties.messageId ?? "";
    const write = async (passed: Publishing) => {
      const row = rowOf(passed, given);
      await rows.add(this.name, row, options.transaction);
      messageId = row.messageId;
    };
    const hooks = session.uses.hooks?.publish;
    await (hooks === undefined
      ? write(message)
      : passOn(hooks, message, "outbox", undefined, write));
    return messageId;
  }

  /**
   * Publishes what is written to a broker, until the signal aborts: in the order in which it
   * was written, at least once. Of many relays of an outbox one is at work; if its process is
   * killed, another goes on after the lease. What fails is tried again for ever.
   *
   * @param broker The connection to publish by.
   * @param options When it ends, and how much it does at once.
   * @throws {OptionError} If an option is unknown or bad.
   * @throws {UnsupportedError} If the connection's database has no transactions of others.
   * @throws {ClosedError} If one of the two connections is closed.
   */
  async relay(broker: Connection, options: RelayOptions = {}): Promise<void> {
    const { session } = this.#database;
    await new Relay({
      outbox: this.name,
      session,
      rows: (options) => this.#rows(options),
      broker,
    }, options).run();
  }

  /**
   * Counts what is not published yet.
   *
   * @returns How many messages, and the age of the oldest, in seconds.
   */
  async status(options?: OperationOptions): Promise<OutboxStatus> {
    const { session } = this.#database;
    const call = session.call(options);
    return await session.retry(
      call,
      async () => await (await this.#rows(options)).status(this.name, call),
    );
  }

  async #rows(options?: OperationOptions): Promise<OutboxRows> {
    const { session } = this.#database;
    const { connection } = await session.link(session.call(options));
    if (connection.outbox !== undefined) return connection.outbox;
    throw new UnsupportedError(
      'Cannot use an outbox of this connection: its broker lacks the capability "transaction"; give one to "postgres://", or to a file of "sqlite:"',
    );
  }
}
