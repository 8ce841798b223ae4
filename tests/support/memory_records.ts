/** Records in this process, with nothing but what the contract demands: no watch, no memory of what was removed. */

import { turn } from "../../async/turn.ts";
import { ClosedError } from "../../model/errors.ts";
import {
  type CloseReason,
  createRecordsTransport,
  type Draft,
  type OnChange,
  type Records,
  type RecordsCall,
  type Row,
  type StoreTransport,
  type Written,
} from "../../transports/records/mod.ts";

/** A database: rows by id, and the ids in order. */
export class MemoryDatabase {
  readonly rows: Map<string, Row> = new Map();
  readonly ids: string[] = [];
  /** Settles when writes are answered again. */
  stalled: Promise<void> | undefined;
  /** Those who are told what changes. */
  readonly watchers: Set<OnChange> = new Set();

  /** The place of an id, there or not. */
  placeOf(id: string): number {
    let [low, high] = [0, this.ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ids[middle] ?? "") < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  write({ id, revision, fields }: Draft): Written {
    const row = this.rows.get(id);
    if (row?.revision !== revision) return { type: "conflict" };
    if (fields === undefined) {
      this.rows.delete(id);
      this.ids.splice(this.placeOf(id), 1);
      for (const each of this.watchers) each(id, "", true);
      return { type: "written", revision: "" };
    }
    if (row === undefined) this.ids.splice(this.placeOf(id), 0, id);
    const next = String(Number(revision ?? 0) + 1);
    // As over a network: nobody shares an object with the database.
    this.rows.set(id, { id, revision: next, fields: structuredClone(fields) });
    for (const each of this.watchers) each(id, next, false);
    return { type: "written", revision: next };
  }
}

/**
 * Makes a transport whose databases live as long as it does.
 *
 * @param wrap Puts something around the verbs of a connection.
 * @returns The transport, and what it is told to write.
 */
export function memoryRecordsTransport(
  wrap: (records: Records, database: MemoryDatabase) => Records = (each) =>
    each,
): StoreTransport & {
  readonly databases: ReadonlyMap<string, MemoryDatabase>;
} {
  const databases = new Map<string, MemoryDatabase>();
  const transport = createRecordsTransport({
    name: "memory-records",
    open(url, { clock, transportOptions: { lease } }) {
      const name = url.virtualHost ?? "";
      const database = databases.get(name) ?? new MemoryDatabase();
      databases.set(name, database);
      const records = wrap(open(database, () => clock.wall()), database);
      return Promise.resolve(
        lease === undefined
          ? records
          : { ...records, limits: { ...records.limits, lease: Number(lease) } },
      );
    },
  });
  return { ...transport, databases };
}

function open(database: MemoryDatabase, now: () => number): Records {
  const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
  let isClosed = false;

  async function run<T>(
    { action, signal }: RecordsCall,
    work: () => T | Promise<T>,
  ): Promise<T> {
    await turn();
    if (isClosed) throw new ClosedError(`Cannot ${action}: it is closed`);
    signal?.throwIfAborted();
    return await work();
  }

  return {
    closed,
    limits: { recordBytes: 8_000_000, poll: 5 },
    isPersistent: false,
    native: () => database,
    now,
    list: ({ start, end, limit, withFields }, call) =>
      run(call, () => {
        const from = database.placeOf(start);
        const to = Math.min(from + limit, database.placeOf(end));
        return database.ids.slice(from, to).flatMap((id) => {
          const row = database.rows.get(id);
          if (row === undefined) return [];
          return [withFields ? row : { ...row, fields: undefined }];
        });
      }),
    read: (ids, call) =>
      run(
        call,
        () =>
          ids.map((id) => database.rows.get(id)).filter((row) =>
            row !== undefined
          ),
      ),
    write: (drafts, call) =>
      run(call, async () => {
        await database.stalled;
        return drafts.map((each) => database.write(each));
      }),
    [Symbol.asyncDispose]() {
      isClosed = true;
      resolve({ type: "closed" });
      return Promise.resolve();
    },
  };
}
