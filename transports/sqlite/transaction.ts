import type { OutboxRow } from "../outbox.ts";
import type {
  CallersTx,
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
import { TODO, todoValues, UNKNOWN } from "../sql/todo.ts";
import type { SqliteClient } from "./client.ts";

/** The statements of one transaction at a time, as SQLite has them. */
export class Transaction implements Tx, CallersTx {
  news: Set<number> = new Set<number>();
  soonest: number = Infinity;
  sizes: Map<number, SizeNote> = new Map<number, SizeNote>();
  onFailed: (() => void)[] = [];
  readonly #client: SqliteClient;
  readonly #texts = new Map<string, string>();

  /** Makes one over an open file. */
  constructor(client: SqliteClient) {
    this.#client = client;
  }

  /** Begins with no news. */
  begin(): this {
    this.news = new Set();
    this.soonest = Infinity;
    this.sizes = new Map();
    this.onFailed = [];
    return this;
  }

  async addToOutbox(
    outbox: string,
    { messageId, head, body }: OutboxRow,
    now: number,
  ): Promise<void> {
    await this.run(
      `INSERT INTO dashi.outbox (outbox, message_id, head, body, written_at)
        VALUES (?, ?, ?, ?, ?)`,
      outbox,
      messageId,
      head,
      body,
      now,
    );
  }

  rows(sql: string, ...values: readonly Value[]): Promise<readonly Row[]> {
    return Promise.resolve(this.#client.rows(this.#text(sql), values));
  }

  run(sql: string, ...values: readonly Value[]): Promise<number> {
    return Promise.resolve(this.#client.run(this.#text(sql), values));
  }

  /** There is one writer. */
  lock(): Promise<void> {
    return Promise.resolve();
  }

  append(drafts: readonly Draft[]): Promise<void> {
    for (let from = 0; from < drafts.length;) {
      const first = drafts[from];
      if (first === undefined) break;
      let to = from + 1;
      for (let next = drafts[to]; to - from < CHUNK; next = drafts[++to]) {
        if (next === undefined || !areAlike(first, next)) break;
      }
      this.#add(first, drafts.slice(from, to));
      from = to;
    }
    return Promise.resolve();
  }

  /** Adds messages whose places are alike but for the number and the size, in two statements. */
  #add(
    { state, queue, rank, home, key, messageId, expiresAt, deliveries, putAt }:
      Draft,
    drafts: readonly Draft[],
  ): void {
    const client = this.#client;
    const values: Value[] = [];
    for (const { head, body } of drafts) values.push(head, body);
    // Few statements: each length of a list is another.
    let from = 0;
    for (const count of [CHUNK, 8, 1]) {
      for (; drafts.length - from >= count; from += count) {
        const last = from + count;
        client.run(addMessages(count), values.slice(2 * from, 2 * last));
      }
    }
    client.run(ADD_PLACES, [
      state,
      queue,
      rank,
      home,
      key,
      messageId,
      expiresAt,
      deliveries,
      putAt,
      drafts.length,
    ]);
  }

  meta(): Promise<Row | undefined> {
    return Promise.resolve(this.#client.rows(META, [])[0]);
  }

  claim(claim: Claim): Promise<Claimed> {
    const { queue, limit, now, holder } = claim;
    const [found] = this.#client.rows(FIND_TODO, todoValues(claim));
    const todo = Number(found?.todo);
    if ((todo & UNKNOWN) !== 0) return Promise.resolve({ rows: [], todo });
    const rows = this.#client.lists(FIND, [queue, now, limit])
      .map((list) => takenRow(queue, list));
    const last = rows.at(-1);
    if (last !== undefined) {
      // All up to the last, in two steps: one for each costs more.
      const these = [queue, last.rank ?? 0, last.id ?? 0, now];
      this.#client.run(HOLD, [holder, ...these]);
      this.#client.run(LEAVE, these);
    }
    return Promise.resolve({ rows, todo });
  }

  takeHeads(
    queue: number,
    heads: readonly Place[],
    holder: number,
  ): Promise<readonly Row[]> {
    const client = this.#client;
    const rows = heads.flatMap(({ rank, id }): Row[] => {
      const [list] = client.lists(FIND_HEAD, [queue, rank, id]);
      if (list === undefined) return [];
      client.run(HOLD_HEAD, [holder, queue, rank, id]);
      client.run(TURN_LANE, [queue, rank]);
      return [takenRow(queue, list)];
    });
    return Promise.resolve(rows);
  }

  remove(
    places: readonly Place[],
    holder: number,
  ): Promise<readonly boolean[]> {
    const client = this.#client;
    const lost = new Set<number>();
    for (const { queue, rank, from, to } of rangesOf(places)) {
      const range = [queue, rank, from, to, holder];
      const [held] = from === to ? [] : client.rows(COUNT_HELD, range);
      if (held?.count === to - from + 1) {
        client.run(REMOVE_PLACES, range);
        client.run(REMOVE_MESSAGES, [from, to]);
        continue;
      }
      for (let id = from; id <= to; id++) {
        const isOurs = client.run(REMOVE_PLACES, [queue, rank, id, id, holder]);
        if (isOurs > 0) client.run(REMOVE_MESSAGES, [id, id]);
        else lost.add(id);
      }
    }
    return Promise.resolve(places.map(({ id }) => !lost.has(id)));
  }

  #text(sql: string): string {
    let text = this.#texts.get(sql);
    if (text === undefined) this.#texts.set(sql, text = named(sql));
    return text;
  }
}

/** SQLite has no schemas: the names of our tables begin with ours. */
function named(sql: string): string {
  return sql.replaceAll("dashi.", "dashi_").replace("FOR NOBODY ELSE", "");
}

/** The most messages of one statement. */
const CHUNK = 64;

/** By how many they add: all of them bind their values one by one. */
const ADDING = new Map<number, string>();

function addMessages(count: number): string {
  let sql = ADDING.get(count);
  if (sql === undefined) {
    const rows = Array.from({ length: count }, () => "(?, ?)").join(", ");
    sql = named(`INSERT INTO dashi.messages (head, body) VALUES ${rows}`);
    ADDING.set(count, sql);
  }
  return sql;
}

function areAlike(a: Draft, b: Draft): boolean {
  return a.queue === b.queue && a.rank === b.rank && a.state === b.state &&
    a.home === b.home && a.key === b.key && a.messageId === b.messageId &&
    a.expiresAt === b.expiresAt && a.putAt === b.putAt &&
    a.deliveries === b.deliveries;
}

/** Places of a queue and a rank whose numbers follow one another. */
interface Range {
  readonly queue: number;
  readonly rank: number;
  readonly from: number;
  to: number;
}

/** What was put together is mostly taken and acked together: a range of numbers. */
function rangesOf(places: readonly Place[]): readonly Range[] {
  const ranges: Range[] = [];
  const sorted = [...places].sort((a, b) =>
    a.queue - b.queue || a.rank - b.rank || a.id - b.id
  );
  for (const { queue, rank, id } of sorted) {
    const last = ranges.at(-1);
    if (last?.to === id - 1 && last.queue === queue && last.rank === rank) {
      last.to = id;
    } else {
      ranges.push({ queue, rank, from: id, to: id });
    }
  }
  return ranges;
}

/** The numbers of what one transaction adds follow one another: there is one writer. */
const ADD_PLACES = named(`INSERT INTO dashi.places
  (state, queue, rank, id, home, key, message_id, expires_at, deliveries,
    put_at, size)
  SELECT ?, ?, ?, id, ?, ?, ?, ?, ?, ?, length(body) FROM dashi.messages
    WHERE id > last_insert_rowid() - ?`);
const META = named("SELECT one, changes, routes FROM dashi.meta");
const FIND_TODO = named(`SELECT ${TODO} AS todo`);
const FIND = named(`SELECT p.rank, p.id, p.deliveries, p.expires_at, p.size,
    m.head, m.body
  FROM dashi.places p CROSS JOIN dashi.messages m ON m.id = p.id
  WHERE p.state = ${READY} AND p.queue = ?
    AND (p.expires_at IS NULL OR p.expires_at > ?)
  ORDER BY p.rank, p.id LIMIT ?`);
const FIND_HEAD = named(`SELECT p.rank, p.id, p.deliveries, p.expires_at,
    p.size, m.head, m.body
  FROM dashi.places p CROSS JOIN dashi.messages m ON m.id = p.id
  WHERE p.state = ${READY} AND p.queue = ? AND p.rank = ? AND p.id = ?`);
const HOLD_HEAD = named(`UPDATE dashi.places SET state = ${HELD}, holder = ?
  WHERE state = ${READY} AND queue = ? AND rank = ? AND id = ?`);
const TURN_LANE = named(`UPDATE dashi.lanes
  SET busy = CASE key WHEN '${NO_KEY}' THEN 0 ELSE 1 END, turn = ${LAST}
  WHERE id = ?`);
const THESE = `FROM dashi.places
  WHERE state = ${READY} AND queue = ? AND (rank, id) <= (?, ?)
    AND (expires_at IS NULL OR expires_at > ?)`;
const HOLD = named(`INSERT INTO dashi.places
  SELECT ${HELD}, queue, rank, id, home, ?, key, message_id, expires_at,
    deliveries, put_at, size ${THESE}`);
const LEAVE = named(`DELETE ${THESE}`);
const RANGE = `FROM dashi.places WHERE state = ${HELD} AND queue = ?
  AND rank = ? AND id BETWEEN ? AND ? AND holder = ?`;
const COUNT_HELD = named(`SELECT count(*) AS count ${RANGE}`);
const REMOVE_PLACES = named(`DELETE ${RANGE}`);
const REMOVE_MESSAGES = named(
  "DELETE FROM dashi.messages WHERE id BETWEEN ? AND ?",
);
