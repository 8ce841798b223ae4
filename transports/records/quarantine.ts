import type { CallOptions } from "../../model/call_options.ts";
import { inSteps } from "../../async/steps.ts";
import type { Database, FullRow, WrittenRecord } from "./database.ts";
import { after, QUARANTINE, rangeOf, readMessageId } from "./ids.ts";
import type { Putter } from "./putter.ts";
import type { Range } from "./records.ts";
import type { RecordReservation } from "./reservation.ts";

/** How many messages are read and put back at once: each may be as large as a record can be. */
const PAGE = 100;

/** The purpose of that, for errors. */
const PUT_BACK = "put a message back";

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
    const [start, end] = rangeOfCopies(queue);
    return await this.#list(queue, { start, end, limit }, options);
  }

  async #list(
    queue: string,
    range: Pick<Range, "start" | "end" | "limit">,
    options?: CallOptions,
  ): Promise<FullRow[]> {
    const action = `list the quarantine of queue "${queue}"`;
    const whole = { ...range, withFields: true };
    const rows = await this.#database.list(action, whole, options);
    return rows.flatMap(({ id, revision, fields }) =>
      fields === undefined ? [] : [{ id, revision, fields }]
    ).sort(byTime);
  }

  /** Puts messages of a queue back: those with these ids, or all. Returns what lies in the queue now. */
  async putBack(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<readonly WrittenRecord[]> {
    const back: WrittenRecord[] = [];
    const pages = ids === undefined
      ? this.#pages(queue, options)
      : this.#named(queue, ids, options);
    await inSteps(async (change) => {
      for await (const rows of pages) {
        const written = await Promise.all(
          rows.map((row) => change(this.#putBack(queue, row, options))),
        );
        for (const each of written) if (each !== undefined) back.push(each);
      }
    });
    return back;
  }

  /** All that there are. */
  async *#pages(
    queue: string,
    options?: CallOptions,
  ): AsyncIterable<readonly FullRow[]> {
    const [first, end] = rangeOfCopies(queue);
    for (let start = first;;) {
      const range = { start, end, limit: PAGE };
      const rows = await this.#list(queue, range, options);
      const last = rows.reduce((id, row) => row.id > id ? row.id : id, start);
      yield rows;
      if (rows.length < PAGE) return;
      start = after(last);
    }
  }

  /** Reads the records with these ids, as far as they exist. */
  async *#named(
    queue: string,
    ids: readonly string[],
    options?: CallOptions,
  ): AsyncIterable<readonly FullRow[]> {
    const [start, end] = rangeOfCopies(queue);
    const ours = ids.filter((id) => id >= start && id < end);
    for (let i = 0; i < ours.length; i += PAGE) {
      const page = ours.slice(i, i + PAGE);
      const rows = await this.#database.read(PUT_BACK, page, options);
      yield rows.toSorted(byTime);
    }
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
    const { fields } = row;
    const draft = { id, revision: undefined, fields, action: PUT_BACK };
    const written = await this.#database.write(draft, options);
    if (written.type === "refused") throw written.error;
    if (written.type === "conflict") return undefined;
    const removed = await this.#database.remove(PUT_BACK, row);
    if (removed.type === "refused") throw removed.error;
    return { id, revision: written.revision };
  }
}

function rangeOfCopies(queue: string): readonly [string, string] {
  const [start, end] = rangeOf(queue);
  return [QUARANTINE + start, QUARANTINE + end];
}

/** The oldest first. */
function byTime(a: FullRow, b: FullRow): number {
  return timeOf(a) - timeOf(b);
}

function timeOf({ id }: FullRow): number {
  return readMessageId(id.slice(QUARANTINE.length)).time;
}
