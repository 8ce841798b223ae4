import type { CallOptions } from "../../model/call_options.ts";
import type { Database, FullRow, WrittenRecord } from "./database.ts";
import { QUARANTINE, rangeOf, readMessageId } from "./ids.ts";
import type { Putter } from "./putter.ts";
import type { RecordReservation } from "./reservation.ts";

/** How many messages are put back at once. */
const MAX_AT_ONCE = 10_000;

/** Messages that cannot be read, or not be written again: a copy of each, where no consumer looks. */
export class Quarantine {
  readonly #database: Database;
  readonly #putter: Putter;

  /** Makes one over a database. */
  constructor(database: Database, putter: Putter) {
    this.#database = database;
    this.#putter = putter;
  }

  /** Copies messages into it. */
  async add(
    reservations: readonly RecordReservation[],
    options?: CallOptions,
  ): Promise<void> {
    await Promise.all(reservations.map(async ({ row }) => {
      const { holder: _, ...fields } = row.fields;
      const written = await this.#database.write({
        id: QUARANTINE + row.id,
        revision: undefined,
        fields,
        action: "quarantine a message",
      }, options);
      // A conflict is the copy of an attempt before, whose end failed.
      if (written.type === "refused") throw written.error;
    }));
  }

  /** Lists the messages of a queue, the oldest first. */
  async list(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly FullRow[]> {
    const [start, end] = rangeOf(queue);
    const rows = await this.#database.list(
      `list the quarantine of queue "${queue}"`,
      {
        start: QUARANTINE + start,
        end: QUARANTINE + end,
        limit,
        withFields: true,
      },
      options,
    );
    return rows.flatMap(({ id, revision, fields }) =>
      fields === undefined ? [] : [{ id, revision, fields }]
    ).sort((a, b) => timeOf(a) - timeOf(b));
  }

  /** Puts messages of a queue back: those with these ids, or all. Returns what lies in the queue now. */
  async putBack(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<readonly WrittenRecord[]> {
    const wanted = ids && new Set(ids);
    const back: WrittenRecord[] = [];
    for (const row of await this.list(queue, MAX_AT_ONCE, options)) {
      if (wanted?.has(row.id) === false) continue;
      const written = await this.#putBack(queue, row, options);
      if (written !== undefined) back.push(written);
    }
    return back;
  }

  /** Writes it to the end of its queue; the copy goes last. */
  async #putBack(
    queue: string,
    row: FullRow,
    options?: CallOptions,
  ): Promise<WrittenRecord | undefined> {
    const level = Number(row.id.split("/")[3]);
    const priority = Number.isNaN(level) ? 0 : 9 - level;
    const id = this.#putter.idAtEnd(queue, priority, 0, undefined);
    const action = "put a message back";
    const { fields } = row;
    const draft = { id, revision: undefined, fields, action };
    const written = await this.#database.write(draft, options);
    if (written.type === "refused") throw written.error;
    if (written.type === "conflict") return undefined;
    const removed = await this.#database.remove(action, row);
    if (removed.type === "refused") throw removed.error;
    return { id, revision: written.revision };
  }
}

function timeOf({ id }: FullRow): number {
  return readMessageId(id.slice(QUARANTINE.length)).time;
}
