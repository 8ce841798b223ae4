import type { Claim, Draft, Place, Row, Tx, Value } from "../sql/port.ts";
import { HELD, READY } from "../sql/schema.ts";
import type { Answer, Parameter, PostgresClient } from "./client.ts";

/** Writes statements as PostgreSQL has them, in a schema. */
export class Texts {
  readonly #schema: string;
  readonly #known = new Map<string, string>();

  /** Makes them for a schema, whose name is quoted already. */
  constructor(schema: string) {
    this.#schema = schema;
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
        .replaceAll("?", () => `$${++count}`);
      this.#known.set(sql, text);
    }
    return text;
  }
}

/** The statements of one transaction. */
export class Transaction implements Tx {
  readonly news: Set<number> = new Set<number>();
  soonest: number = Infinity;
  readonly onFailed: (() => void)[] = [];
  readonly #client: PostgresClient;
  readonly #texts: Texts;
  readonly #locks = new Set<string>();

  /** Makes one that has begun. */
  constructor(client: PostgresClient, texts: Texts) {
    this.#client = client;
    this.#texts = texts;
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
    const column = <T extends string | number | null>(
      of: (draft: Draft) => T,
    ) => drafts.map(of);
    let length = 0;
    const starts = drafts.map(({ size }) => {
      const start = length + 1;
      length += size;
      return start;
    });
    const bodies = new Uint8Array(length);
    drafts.forEach(({ body }, i) => bodies.set(body, (starts[i] ?? 1) - 1));
    await this.#query(
      APPEND,
      column(({ state }) => state),
      column(({ queue }) => queue),
      column(({ rank }) => rank),
      column(({ home }) => home),
      column(({ key }) => key),
      column(({ messageId }) => messageId),
      column(({ expiresAt }) => expiresAt),
      column(({ deliveries }) => deliveries),
      column(({ putAt }) => putAt),
      column(({ size }) => size),
      column(({ head }) => head),
      starts,
      bodies,
    );
  }

  async claim(
    { queue, limit, now, holder }: Claim,
  ): Promise<readonly Row[]> {
    return (await this.#query(CLAIM, queue, now, limit, holder)).rows;
  }

  async remove(
    places: readonly Place[],
    holder: number,
  ): Promise<readonly boolean[]> {
    const { rows } = await this.#query(
      REMOVE,
      places.map(({ queue }) => queue),
      places.map(({ rank }) => rank),
      places.map(({ id }) => id),
      holder,
    );
    const removed = new Set(rows.map(({ id }) => Number(id)));
    return places.map(({ id }) => removed.has(id));
  }

  #query(sql: string, ...values: readonly Parameter[]): Promise<Answer> {
    return this.#client.query(this.#texts.of(sql), values.map(storable));
  }
}

/** A text of PostgreSQL's has no NUL: in names and keys another one stands for it. */
export function storable(value: Parameter): Parameter {
  if (typeof value === "string") return withoutNul(value);
  return isList(value) && value.some(hasNul)
    ? value.map((each) => typeof each === "string" ? withoutNul(each) : each)
    : value;
}

function isList(
  value: Parameter,
): value is Extract<Parameter, readonly unknown[]> {
  return Array.isArray(value);
}

function hasNul(value: unknown): boolean {
  return typeof value === "string" && value.includes("\0");
}

function withoutNul(text: string): string {
  return hasNul(text) ? text.replaceAll("\0", "\\0") : text;
}

const LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))";

/** All bodies come as one value, and are cut up by the server: an array of bytes is text on its way. */
const APPEND = `WITH drafts AS (
    SELECT nextval('dashi.messages_id_seq') AS id, d.* FROM unnest(
      ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[], ?::text[],
      ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[], ?::bigint[]
    ) AS d (state, queue, rank, home, key, message_id, expires_at, deliveries,
      put_at, size, head, start)
  ), written AS (
    INSERT INTO dashi.messages (id, head, body)
      SELECT id, head, substring(?::bytea FROM start::integer FOR size::integer)
        FROM drafts
  )
  INSERT INTO dashi.places (state, queue, rank, id, home, key, message_id,
      expires_at, deliveries, put_at, size)
    SELECT state, queue, rank, id, home, key, message_id, expires_at,
      deliveries, put_at, size FROM drafts`;

const CLAIM = `WITH found AS (
    SELECT queue, rank, id FROM dashi.places
      WHERE state = ${READY} AND queue = ?
        AND (expires_at IS NULL OR expires_at > ?)
      ORDER BY rank, id LIMIT ? FOR UPDATE SKIP LOCKED
  ), taken AS (
    UPDATE dashi.places p SET state = ${HELD}, holder = ? FROM found f
      WHERE p.state = ${READY} AND p.queue = f.queue AND p.rank = f.rank
        AND p.id = f.id
      RETURNING p.queue, p.rank, p.id, p.deliveries, p.expires_at
  )
  SELECT t.*, m.head, m.body FROM taken t
    JOIN dashi.messages m ON m.id = t.id ORDER BY t.rank, t.id`;

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
  SELECT id FROM gone`;
