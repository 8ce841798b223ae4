import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { StoreItem } from "../store/store.ts";
import {
  type FoundMark,
  type KeptMark,
  type MarkTable,
  readMark,
} from "../store/put_once.ts";
import type { Database } from "./database.ts";
import { after, expiryOfMark, MARK_EXPIRIES, markId, markOf } from "./ids.ts";

const LEAVE = "leave the mark of a message";

/** The maximum number of marks that are looked at in one call. */
const PAGE = 500;

/** The marks of messages that are published once: a record each, and one that says when it goes. */
export class Marks implements MarkTable {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly #database: Database;
  readonly #handleFor: (item: StoreItem) => string;
  /** Whether this connection leaves marks: one that does not removes none. */
  #isInUse = false;

  /** Makes them over a database. */
  constructor(
    database: Database,
    { limits, clock }: Pick<MarkTable, "limits" | "clock">,
    handleFor: (item: StoreItem) => string,
  ) {
    this.limits = limits;
    this.clock = clock;
    this.#database = database;
    this.#handleFor = handleFor;
  }

  now(): number {
    return this.#database.now();
  }

  handleFor(item: StoreItem): string {
    return this.#handleFor(item);
  }

  async read(
    key: string,
    options?: CallOptions,
  ): Promise<FoundMark | undefined> {
    const [row] = await this.#database.read(LEAVE, [markId(key)], options);
    return row && readMark(row.fields, row.revision);
  }

  async write(
    key: string,
    mark: KeptMark,
    before: FoundMark | undefined,
    options?: CallOptions,
  ): Promise<FoundMark | undefined> {
    this.#isInUse = true;
    const { token, until, pending, handles } = mark;
    const isNew = before?.until !== until;
    const [written] = await Promise.all([
      this.#database.write({
        id: markId(key),
        revision: before?.revision,
        fields: { token, until, handles, ...(pending ? { pending } : {}) },
        action: LEAVE,
      }, options),
      isNew && this.#database.write({
        id: expiryOfMark(until, key),
        revision: undefined,
        fields: {},
        action: LEAVE,
      }, options),
    ]);
    if (written.type === "refused") throw written.error;
    return written.type === "written"
      ? { ...mark, revision: written.revision }
      : undefined;
  }

  async remove(
    key: string,
    { revision }: FoundMark,
    options?: CallOptions,
  ): Promise<void> {
    const record = { id: markId(key), revision };
    await this.#database.remove(LEAVE, record, options);
  }

  /** Removes the marks that are over, of all connections. */
  async sweep(options?: CallOptions): Promise<void> {
    if (!this.#isInUse) return;
    const action = "remove the marks of messages";
    const now = this.#database.now();
    const end = expiryOfMark(now, "");
    for (let start = MARK_EXPIRIES;;) {
      const range = { start, end, limit: PAGE, withFields: false };
      const notes = await this.#database.list(action, range, options);
      const ids = [...new Set(notes.map(({ id }) => markOf(id)))];
      const rows = await this.#database.read(action, ids, options);
      const over = rows.filter(({ fields }) => Number(fields.until) <= now);
      await Promise.all(
        [...over, ...notes].map((each) =>
          this.#database.remove(action, each, options)
        ),
      );
      const last = notes.at(-1);
      if (last === undefined || notes.length < PAGE) return;
      start = after(last.id);
    }
  }
}
