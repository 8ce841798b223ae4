import { errorText } from "../../model/error_text.ts";
import {
  MessagingError,
  OptionError,
  PreconditionFailedError,
  PublishError,
} from "../../model/errors.ts";
import type { Ask } from "../../model/ask.ts";
import { encodeBase64 } from "../../codec/mod.ts";
import type { OutboxRow } from "../outbox.ts";
import type { CallersTx, Draft, Row, Value } from "../sql/port.ts";
import { stateOf } from "./errors.ts";
import { withoutNul } from "./arrays.ts";
import type { Texts } from "./transaction.ts";

/** What of a database its callers' transactions must know. */
export interface Home {
  readonly texts: Texts;
  /** Tells one database of one running server from all others. */
  readonly place: string;
  /** Where notices are sent. */
  readonly channel: string;
  /** Writes a notice of what is new; `undefined`: there is nothing. */
  readonly notice: (tx: Pick<CallersTx, "news" | "soonest">) =>
    | string
    | undefined;
}

/** Tells one database of one running server from all others. */
export const PLACE =
  "current_database() || ' ' || extract(epoch FROM pg_postmaster_start_time())::text";

/** So many bytes of bodies may go to the server in vain. */
const SMALL = 48_000;

/** The most messages or rows, and bytes of bodies, of one statement. */
const [COUNT, BYTES] = [500, 8_000_000];

/** A row that is to be added to an outbox. */
interface Entry extends OutboxRow {
  readonly outbox: string;
  readonly writtenAt: number;
}

/** Declarations, by the number of their last change and by that of their tables. */
interface Declared {
  readonly changes: number;
  readonly born: number;
}

/**
 * Our part of a transaction of the caller's. Clients read numbers in their own ways, and
 * texts in one. What is to be written is kept until `flush`: each statement is a round trip.
 */
export class PostgresCallersTx implements CallersTx {
  readonly news: Set<number> = new Set<number>();
  soonest: number = Infinity;
  readonly onFailed: (() => void)[] = [];
  /** Why the first of its statements that failed has. */
  failure: unknown;
  readonly #ask: Ask;
  readonly #home: Home;
  readonly #drafts: Draft[] = [];
  readonly #entries: Entry[] = [];
  #meta: Promise<Row | undefined> | undefined;
  /** What declarations must be, where nobody has looked. */
  #supposed: Declared | undefined;

  /** Makes one; `known` is the row of `meta`, where it was read. */
  constructor(ask: Ask, home: Home, known?: Row) {
    this.#ask = ask;
    this.#home = home;
    this.#meta = known && Promise.resolve(known);
  }

  /** From then on the transaction has a number: it is known for one by that. */
  meta(): Promise<Row | undefined> {
    return this.#meta ??= this.#readMeta();
  }

  suppose(changes: number, born: number): boolean {
    if (this.#meta !== undefined) return false;
    this.#supposed ??= { changes, born };
    return this.#supposed.changes === changes && this.#supposed.born === born;
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
    try {
      const rows = await this.#ask(this.#home.texts.named(text), texts);
      return rows as readonly Row[]; // texts and numbers alone are asked for
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }

  append(drafts: readonly Draft[]): Promise<void> {
    this.#drafts.push(...drafts);
    return Promise.resolve();
  }

  addToOutbox(outbox: string, row: OutboxRow, now: number): Promise<void> {
    this.#entries.push({ ...row, outbox, writtenAt: now });
    return Promise.resolve();
  }

  /**
   * Writes all that was kept.
   *
   * @returns The row of `meta` where declarations are not as was supposed, and nothing was written.
   */
  async flush(): Promise<Row | undefined> {
    const isLarge = bytesOf(this.#drafts) + bytesOf(this.#entries) > SMALL;
    // What is not put anywhere is right by what is supposed, too.
    const asks = this.#drafts.length === 0 && this.#supposed !== undefined;
    if (isLarge || asks) {
      const meta = await this.meta();
      if (!this.#isRight(meta)) return meta;
      this.#supposed = undefined;
    }
    for (const drafts of pieces(this.#drafts, () => true)) {
      const meta = await this.#write(() => this.#append(drafts));
      if (meta !== undefined) return meta;
      this.#supposed = undefined;
    }
    for (
      const entries of pieces(this.#entries, (a, b) => a.outbox === b.outbox)
    ) await this.#write(() => this.#add(entries));
    return undefined;
  }

  async #readMeta(): Promise<Row | undefined> {
    const [row] = await this.rows(META);
    if (row?.place !== this.#home.place) throw elsewhere();
    return row;
  }

  #isRight(meta: Row | undefined): boolean {
    const { changes, born } = this.#supposed ?? {};
    return changes === undefined ||
      (changes === Number(meta?.changes) && born === Number(meta?.one));
  }

  /**
   * A transaction that has written nothing yet has no number, as a statement by itself has
   * none: the answer has given it one, if it is one, and the same statement finds it there.
   */
  async #write(
    statement: () => Promise<readonly Row[]>,
  ): Promise<Row | undefined> {
    for (const _ of ["as it is", "with a number"]) {
      const [answer = {}] = await statement();
      if (answer.place !== this.#home.place) throw elsewhere();
      if (answer.refused === "") return undefined;
      if (!this.#isRight(answer)) return answer;
    }
    throw notInTransaction();
  }

  #append(drafts: readonly Draft[]): Promise<readonly Row[]> {
    const bodies: Uint8Array[] = [];
    const rows = drafts.map(({ body, key, messageId, ...draft }) => {
      // Copies of a message share it.
      if (bodies.at(-1) !== body) bodies.push(body);
      return {
        ...draft,
        key: key && withoutNul(key.toWellFormed()),
        messageId: messageId && withoutNul(messageId.toWellFormed()),
        body: bodies.length,
      };
    });
    const { changes, born } = this.#supposed ?? {};
    return this.rows(
      changes === undefined ? APPEND : APPEND_IF_RIGHT,
      JSON.stringify(rows),
      this.#home.place,
      ...changes === undefined ? [] : [changes, born ?? 0],
      bodies.map(encodeBase64).join(" "),
      ...this.#notice(),
    );
  }

  #add(entries: readonly Entry[]): Promise<readonly Row[]> {
    const [first] = entries;
    const ids = entries.map(({ messageId }) =>
      encodeBase64(ENCODER.encode(withoutNul(messageId)))
    );
    return this.rows(
      ADD_TO_OUTBOX,
      first?.outbox ?? "",
      first?.writtenAt ?? 0,
      ids.join(" "),
      // JSON: a new line within it is escaped.
      entries.map(({ head }) => head).join("\n"),
      entries.map(({ body }) => encodeBase64(body)).join(" "),
      this.#home.place,
      ...this.#notice(),
    );
  }

  #notice(): readonly string[] {
    return [this.#home.channel, this.#home.notice(this) ?? ""];
  }
}

const ENCODER = new TextEncoder();

function bytesOf(all: readonly { readonly body: Uint8Array }[]): number {
  return all.reduce((sum, { body }) => sum + body.length, 0);
}

/** Parts what is to be written, in its order, into what one statement writes. */
function* pieces<T extends { readonly body: Uint8Array }>(
  all: readonly T[],
  mayJoin: (first: T, next: T) => boolean,
): Generator<readonly T[]> {
  let piece: T[] = [];
  let bytes = 0;
  for (const each of all) {
    bytes += each.body.length;
    const [first = each] = piece;
    if (piece.length === COUNT || bytes > BYTES || !mayJoin(first, each)) {
      if (piece.length > 0) yield piece;
      piece = [];
      bytes = each.body.length;
    }
    piece.push(each);
  }
  if (piece.length > 0) yield piece;
}

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

/** A statement by itself has no number of a transaction before it has written something. */
const HERE = `txid_current_if_assigned() IS NOT NULL AND ${PLACE} = ?`;

/** Gives the transaction a number where nothing was written. */
function answer(written: string): string {
  return `${PLACE} AS place, CASE WHEN EXISTS (SELECT FROM ${written})
      THEN CAST(pg_notify(?, ?) AS text)
      ELSE CAST(txid_current() AS text) END AS refused`;
}

/** One statement, whose values are texts, and that does nothing where it is no part of the transaction. */
const APPEND = appendIf(HERE);
const APPEND_IF_RIGHT = appendIf(
  `${HERE} AND (SELECT changes = ? AND one = ? FROM dashi.meta)`,
);

function appendIf(condition: string): string {
  return `WITH drafts AS (
    SELECT nextval('dashi.messages_id_seq') AS id, d.*
      FROM json_to_recordset(CAST(? AS json)) AS d (
        state bigint, queue bigint, rank bigint, home bigint, key text,
        "messageId" text, "expiresAt" bigint, deliveries bigint,
        "putAt" bigint, size bigint, head text, body integer)
      WHERE ${condition}
  ), written AS (
    INSERT INTO dashi.messages (id, head, body)
      SELECT id, head, decode(
          coalesce((SELECT string_to_array(?, ' '))[body], ''), 'base64')
        FROM drafts
  ), placed AS (
    INSERT INTO dashi.places (state, queue, rank, id, home, key, message_id,
        expires_at, deliveries, put_at, size)
      SELECT state, queue, rank, id, home, key, "messageId", "expiresAt",
        deliveries, "putAt", size FROM drafts
  )
  SELECT one, changes, routes, ${answer("drafts")} FROM dashi.meta`;
}

/** Of records in JSON the server's work would be twice as much. */
const ADD_TO_OUTBOX = `WITH added AS (
    INSERT INTO dashi.outbox (outbox, written_at, message_id, head, body)
      SELECT ?, ?, convert_from(decode(coalesce(id, ''), 'base64'), 'UTF8'),
          head, decode(coalesce(body, ''), 'base64')
        FROM unnest(string_to_array(?, ' '), string_to_array(?, E'\\n'),
          string_to_array(?, ' ')) AS entries (id, head, body)
        WHERE ${HERE}
      RETURNING id
  )
  SELECT ${answer("added")}`;
