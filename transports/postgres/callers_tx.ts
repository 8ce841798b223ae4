import { errorText } from "../../model/error_text.ts";
import {
  MessagingError,
  OptionError,
  PreconditionFailedError,
  PublishError,
} from "../../model/errors.ts";
import { type Ask, askOf } from "../../model/ask.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import { encodeBase64 } from "../../codec/mod.ts";
import type { OutboxRow } from "../outbox.ts";
import type { CallersTx, Draft, Row, Value } from "../sql/port.ts";
import { stateOf } from "./errors.ts";
import { withoutNul } from "./arrays.ts";
import type { OutboxEntry, OutboxWriter } from "./outbox_writer.ts";
import type { Texts } from "./transaction.ts";

/** What of a database its callers' transactions must know. */
export interface Home {
  readonly texts: Texts;
  /** Tells one database of one running server from all others. */
  readonly place: string;
  /** Where notices are sent. */
  readonly channel: string;
  readonly outboxes: OutboxWriter;
  /** Writes a notice of what is new; `undefined`: there is nothing. */
  readonly notice: (tx: Pick<CallersTx, "news" | "soonest">) =>
    | string
    | undefined;
}

/** Tells one database of one running server from all others. */
export const PLACE =
  "current_database() || ' ' || extract(epoch FROM pg_postmaster_start_time())::text";

/** So many letters may go to the server in vain. */
const SMALL = 64_000;

/** The statements of ours in a transaction of the caller's. Clients read numbers in their own ways, and texts in one. */
export class PostgresCallersTx implements CallersTx {
  readonly news: Set<number> = new Set<number>();
  soonest: number = Infinity;
  readonly onFailed: (() => void)[] = [];
  readonly #transaction: SqlTransaction;
  readonly #ask: Ask;
  readonly #home: Home;
  #id = "";

  /** Makes one of what the caller gave. */
  constructor(transaction: SqlTransaction, home: Home) {
    this.#transaction = transaction;
    this.#ask = askOf(transaction, "publish");
    this.#home = home;
  }

  /** Says, too, which transaction it is: one that is none is another with each statement. */
  async meta(): Promise<Row | undefined> {
    const [row] = await this.rows(META);
    if (row?.place !== this.#home.place) throw elsewhere();
    this.#id = String(row.transaction);
    return row;
  }

  async rows(
    sql: string,
    ...values: readonly Value[]
  ): Promise<readonly Row[]> {
    const texts: string[] = [];
    let index = 0;
    const text = sql.replaceAll("?", () => {
      const value = values[index++];
      if (typeof value === "number") return String(value);
      texts.push(withoutNul(String(value)));
      return `CAST($${texts.length} AS text)`;
    });
    const rows = await this.#ask(this.#home.texts.named(text), texts);
    return rows as readonly Row[]; // texts and numbers alone are asked for
  }

  async append(drafts: readonly Draft[]): Promise<void> {
    const [first] = drafts;
    if (first === undefined) return;
    const rows = drafts.map(({ body: _, key, messageId, ...draft }) => ({
      ...draft,
      key: key && withoutNul(key.toWellFormed()),
      messageId: messageId && withoutNul(messageId.toWellFormed()),
    }));
    const notice = this.#home.notice(this) ?? "";
    const [row] = await this.rows(
      APPEND,
      JSON.stringify(rows),
      this.#id,
      encodeBase64(first.body),
      this.#home.channel,
      notice,
    );
    if (row === undefined) throw notInTransaction();
  }

  addToOutbox(outbox: string, row: OutboxRow, now: number): Promise<void> {
    return this.#home.outboxes.add(
      this.#transaction,
      { ...row, outbox, writtenAt: now },
      (entries) => this.#addAll(entries),
    );
  }

  /**
   * The client may be in another transaction than when it was asked last: nothing is added
   * then, and the answer says which it is.
   */
  async #addAll(entries: readonly OutboxEntry[]): Promise<void> {
    const [first] = entries;
    if (first === undefined) return;
    const ids = entries.map(({ messageId }) =>
      encodeBase64(ENCODER.encode(withoutNul(messageId)))
    );
    const bodies = entries.map(({ body }) => encodeBase64(body)).join(" ");
    if (this.#id === "" || bodies.length > SMALL) await this.meta();
    for (const _ of ["by the number that is known", "by that of the answer"]) {
      const [{ count, place, transaction } = {}] = await this.rows(
        ADD_TO_OUTBOX,
        first.outbox,
        first.writtenAt,
        ids.join(" "),
        // JSON: a new line within it is escaped.
        entries.map(({ head }) => head).join("\n"),
        bodies,
        this.#id,
        this.#home.channel,
        this.#home.notice(this) ?? "",
      );
      if (Number(count) > 0) return;
      if (place !== this.#home.place) throw elsewhere();
      this.#id = String(transaction);
    }
    throw notInTransaction();
  }
}

const ENCODER = new TextEncoder();

function elsewhere(): OptionError {
  return new OptionError(
    "Cannot publish with this transaction: it is one of another database, or of another server, than the connection's",
  );
}

function notInTransaction(): OptionError {
  return new OptionError(
    "Cannot publish with a client that is in no transaction: begin one on it, and give that client, no pool",
  );
}

/** Makes the library's error of what the caller's client says. */
export function callersFailure(error: unknown): unknown {
  if (error instanceof MessagingError) return error;
  const text = errorText(error);
  switch (stateOf(error)) {
    case "3F000":
    case "42P01":
      return elsewhere();
    case "42501":
      return new PreconditionFailedError(
        `Cannot publish with this transaction: ${text}; its user needs the right to use our schema, to read and add to its tables`,
        { cause: error, outcome: "not-sent" },
      );
  }
  return new PublishError(
    `Cannot publish with this transaction: ${text}; roll it back`,
    { code: "publish-refused", cause: error },
  );
}

const META = `SELECT one, changes, routes, ${PLACE} AS place,
    CAST(txid_current() AS text) AS transaction FROM dashi.meta`;

/** One statement, whose values are texts, and that does nothing where it is no part of the transaction. */
const APPEND = `WITH drafts AS (
    SELECT nextval('dashi.messages_id_seq') AS id, d.*
      FROM json_to_recordset(CAST(? AS json)) AS d (
        state bigint, queue bigint, rank bigint, home bigint, key text,
        "messageId" text, "expiresAt" bigint, deliveries bigint,
        "putAt" bigint, size bigint, head text)
      WHERE CAST(txid_current() AS text) = ?
  ), written AS (
    INSERT INTO dashi.messages (id, head, body)
      SELECT id, head, decode(?, 'base64') FROM drafts
  ), placed AS (
    INSERT INTO dashi.places (state, queue, rank, id, home, key, message_id,
        expires_at, deliveries, put_at, size)
      SELECT state, queue, rank, id, home, key, "messageId", "expiresAt",
        deliveries, "putAt", size FROM drafts
  )
  SELECT CAST(pg_notify(?, ?) AS text) AS told
    FROM (SELECT 1 FROM drafts LIMIT 1) AS any_draft`;

/** Of records in JSON the server's work would be twice as much. */
const ADD_TO_OUTBOX = `WITH added AS (
    INSERT INTO dashi.outbox (outbox, written_at, message_id, head, body)
      SELECT ?, ?, convert_from(decode(coalesce(id, ''), 'base64'), 'UTF8'),
          head, decode(coalesce(body, ''), 'base64')
        FROM unnest(string_to_array(?, ' '), string_to_array(?, E'\\n'),
          string_to_array(?, ' ')) AS entries (id, head, body)
        WHERE CAST(txid_current() AS text) = ?
      RETURNING id
  )
  SELECT ${PLACE} AS place, CAST(txid_current() AS text) AS transaction,
      CAST(count(*) AS text) AS count,
      CASE WHEN count(*) > 0 THEN CAST(pg_notify(?, ?) AS text) END AS told
    FROM added`;
