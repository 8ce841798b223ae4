import type {
  Claim,
  Claimed,
  Draft,
  Place,
  Row,
  SizeNote,
  Tx,
  Value,
} from "../sql/port.ts";
import { LAST, NO_KEY } from "../sql/lanes.ts";
import { takenRow } from "../sql/message.ts";
import { HELD, READY } from "../sql/schema.ts";
import { TODO, todoValues } from "../sql/todo.ts";
import { appending } from "./appending.ts";
import { numberArray, readNumbers, withoutNul } from "./arrays.ts";
import type { Answer, PostgresClient } from "./client.ts";
import type { Starts } from "./starts.ts";

/** Bytes of a row besides its message, at most. */
const ROW = 1000;

/** Writes statements as PostgreSQL has them, in a schema. */
export class Texts {
  readonly #schema: string;
  readonly #message: string;
  readonly #known = new Map<string, string>();

  /** Makes them for a schema, whose name is quoted already; `most` is what one row may have, bytes. */
  constructor(schema: string, most: number) {
    this.#schema = schema;
    // A row that is too large would cut the connection as often as it is read: it comes empty.
    const comes = `octet_length(m.head) + 2 * octet_length(m.body) <= ${
      most - ROW
    }`;
    this.#message = ["head", "body"].map((name) =>
      `CASE WHEN ${comes} THEN m.${name} END AS ${name}`
    ).join(", ");
  }

  /** The schema's name, quoted. */
  get schema(): string {
    return this.#schema;
  }

  /** Writes one whose values are seen to elsewhere. */
  named(sql: string): string {
    return sql.replaceAll("dashi.", `${this.#schema}.`);
  }

  /** Writes one. */
  of(sql: string): string {
    let text = this.#known.get(sql);
    if (text === undefined) {
      let count = 0;
      text = this.named(sql)
        .replace("FOR NOBODY ELSE", "FOR UPDATE SKIP LOCKED")
        .replace("m.head, m.body", this.#message)
        .replaceAll("?", () => `$${++count}`);
      this.#known.set(sql, text);
    }
    return text;
  }
}

/** What the transactions of a connection share. */
export interface TransactionParts {
  readonly client: PostgresClient;
  readonly texts: Texts;
  readonly starts: Starts;
}

/** What a transaction begins by. */
export interface Beginning {
  /** The row of `meta`, which is on its way. */
  readonly meta: Promise<Row | undefined>;
  /** Whether it is worth while to suppose something. */
  readonly maySuppose: boolean;
}

/** The statements of one transaction. */
export class Transaction implements Tx {
  readonly news: Set<number> = new Set<number>();
  soonest: number = Infinity;
  readonly sizes: Map<number, SizeNote> = new Map<number, SizeNote>();
  readonly onFailed: (() => void)[] = [];
  /** Why the first of its statements that failed has. */
  failure: unknown;
  readonly #client: PostgresClient;
  readonly #texts: Texts;
  readonly #starts: Starts;
  readonly #locks = new Set<string>();
  readonly #beginning: Beginning | undefined;
  #isFirst = true;
  #supposed: { readonly changes: number; readonly born: number } | undefined;

  /** Makes one, with what it begins by; without, each statement is one. */
  constructor(
    { client, texts, starts }: TransactionParts,
    beginning?: Beginning,
  ) {
    this.#client = client;
    this.#texts = texts;
    this.#starts = starts;
    this.#beginning = beginning;
  }

  /** As it was for the first who asks; then it may have been changed here. */
  async meta(): Promise<Row | undefined> {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    const known = isFirst ? await this.#beginning?.meta : undefined;
    return known ?? (await this.rows(META))[0];
  }

  suppose(changes: number, born: number): boolean {
    if (this.#beginning?.maySuppose !== true || !this.#isFirst) return false;
    this.#supposed = { changes, born };
    return true;
  }

  /** Whether declarations are as was supposed. */
  async isRight(): Promise<boolean> {
    const meta = await this.#beginning?.meta;
    const { changes, born } = this.#supposed ?? {};
    return changes === undefined ||
      (changes === Number(meta?.changes) && born === Number(meta?.one));
  }

  async rows(
    sql: string,
    ...values: readonly Value[]
  ): Promise<readonly Row[]> {
    return (await this.#query(sql, ...values)).rows;
  }

  async run(sql: string, ...values: readonly Value[]): Promise<number> {
    return (await this.#query(sql, ...values)).count;
  }

  async lock(name: string): Promise<void> {
    if (this.#locks.has(name)) return;
    this.#locks.add(name);
    await this.#query(LOCK, `${this.#texts.schema} ${name}`);
  }

  async append(drafts: readonly Draft[]): Promise<void> {
    const { text, values } = appending(drafts);
    await this.#query(text, ...values);
  }

  async claim(claim: Claim): Promise<Claimed> {
    const { queue, limit, isFlat } = claim;
    const from = isFlat ? this.#starts.of(queue) : 0;
    let claimed = await this.#claim(claim, from);
    if (from > 0 && claimed.rows.length < limit) {
      const rest = await this.#claim({
        ...claim,
        limit: limit - claimed.rows.length,
      }, 0);
      claimed = { ...claimed, rows: [...rest.rows, ...claimed.rows] };
    }
    if (isFlat && limit > 0) {
      this.#starts.took(queue, { from, rows: claimed.rows, limit });
      // What is undone is taken again, and before what follows it.
      this.onFailed.push(() => this.#starts.forget(queue));
    }
    return claimed;
  }

  async #claim(claim: Claim, from: number): Promise<Claimed> {
    const { queue, limit, now, holder, isFlat } = claim;
    const values = [
      holder,
      queue,
      isFlat ? 0 : Number.MIN_SAFE_INTEGER,
      from,
      now,
      holder,
      now,
      limit,
      ...todoValues(claim),
    ];
    const lists = await this.#client.lists(this.#texts.of(CLAIM), values);
    const rows = lists.filter(([, id]) => id !== null)
      .map((list) => takenRow(queue, list));
    return { rows, todo: Number(lists[0]?.at(-1)) };
  }

  async takeHeads(
    queue: number,
    heads: readonly Place[],
    holder: number,
  ): Promise<readonly Row[]> {
    const lists = await this.#client.lists(this.#texts.of(TAKE_HEADS), [
      holder,
      numberArray(heads.map(({ rank }) => rank)),
      numberArray(heads.map(({ id }) => id)),
      queue,
      queue,
    ]);
    return lists.map((list) => takenRow(queue, list));
  }

  async remove(
    places: readonly Place[],
    holder: number,
  ): Promise<readonly boolean[]> {
    const { rows } = await this.#query(
      REMOVE,
      numberArray(places.map(({ queue }) => queue)),
      numberArray(places.map(({ rank }) => rank)),
      numberArray(places.map(({ id }) => id)),
      holder,
    );
    const removed = new Set(readNumbers(rows[0]?.ids));
    return places.map(({ id }) => removed.has(id));
  }

  async #query(sql: string, ...values: readonly Value[]): Promise<Answer> {
    try {
      return await this.#client.query(
        this.#texts.of(sql),
        values.map((each) =>
          typeof each === "string" ? withoutNul(each) : each
        ),
      );
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }
}

/** Reads what says whether declarations have changed. */
const META = "SELECT one, changes, routes FROM dashi.meta";

/** The server's time, ms since 1970. */
export const NOW = "extract(epoch FROM clock_timestamp()) * 1000 AS now";

/** The same, and the server's time. */
export const META_NOW: string =
  `SELECT one, changes, routes, ${NOW} FROM dashi.meta`;

const LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))";

/** Each row says, too, what is to be done: there is one without a message where none was taken. */
const CLAIM = `WITH taken AS (
    UPDATE dashi.places SET state = ${HELD}, holder = ?
      WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM dashi.places
          WHERE state = ${READY} AND queue = ? AND (rank, id) >= (?, ?)
            AND (expires_at IS NULL OR expires_at > ?)
            AND EXISTS (SELECT 1 FROM dashi.holders WHERE id = ? AND until > ?)
          ORDER BY rank, id LIMIT ? FOR UPDATE SKIP LOCKED
      ))
      RETURNING rank, id, deliveries, expires_at, size
  )
  SELECT t.*, m.head, m.body, d.todo FROM (SELECT ${TODO} AS todo) d
    LEFT JOIN (taken t JOIN dashi.messages m ON m.id = t.id) ON true
    ORDER BY t.rank, t.id`;

/** Each is found by its key, as those that are removed. */
const TAKE_HEADS = `WITH taken AS (
    UPDATE dashi.places SET state = ${HELD}, holder = ?
      WHERE ctid = ANY (ARRAY(
        SELECT p.ctid FROM unnest(?::bigint[], ?::bigint[]) AS x (rank, id),
          LATERAL (SELECT ctid FROM dashi.places
            WHERE state = ${READY} AND queue = ? AND rank = x.rank
              AND id = x.id
            FOR UPDATE) p
      ))
      RETURNING rank, id, deliveries, expires_at, size
  ), turned AS (
    UPDATE dashi.lanes SET busy = CASE key WHEN '${NO_KEY}' THEN 0 ELSE 1 END,
        turn = ${LAST}
      WHERE id IN (SELECT rank FROM taken)
  )
  SELECT t.*, m.head, m.body FROM taken t
    JOIN dashi.messages m ON m.id = t.id`;

/** Each is found by its key: a plan over all that is held would read what was removed before, too. */
const REMOVE = `WITH gone AS (
    DELETE FROM dashi.places WHERE ctid = ANY (ARRAY(
      SELECT p.ctid
        FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS x (queue, rank, id),
          LATERAL (SELECT ctid FROM dashi.places
            WHERE state = ${HELD} AND queue = x.queue AND rank = x.rank
              AND id = x.id AND holder = ? OFFSET 0) p
    )) RETURNING id
  ), emptied AS (
    DELETE FROM dashi.messages m USING gone g WHERE m.id = g.id
  )
  SELECT array_agg(id)::text AS ids FROM gone`;
