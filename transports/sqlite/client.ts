import { realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { prepareIn } from "../../model/ask.ts";
import { TransportError } from "../../model/errors.ts";
import type { Row, Value } from "../sql/port.ts";

/** SQLite of this runtime: all of it answers at once. */
export interface SqliteClient {
  /** Runs statements without values. */
  exec(sql: string): void;
  /** Reads rows. */
  rows(sql: string, values: readonly Value[]): readonly Row[];
  /** Reads rows as lists of their values: for many of them that is half the work. */
  lists(sql: string, values: readonly Value[]): readonly (readonly Value[])[];
  /** Changes rows; returns how many. */
  run(sql: string, values: readonly Value[]): number;
  close(): void;
  readonly native: unknown;
}

/** `DatabaseSync` of `node:sqlite`, or Bun's `Database`, as far as it is used here. */
export interface Native {
  exec(sql: string): void;
  prepare(sql: string): Prepared;
  close(): void;
}

interface Prepared {
  /** Of `node:sqlite`, from Node 22.16 on. */
  setReturnArrays?(are: boolean): void;
  /** Bun's. */
  values?(...values: readonly Value[]): unknown;
  all(...values: readonly Value[]): unknown;
  run(...values: readonly Value[]): { readonly changes: number | bigint };
}

/** The name of Bun's module: a word that Deno and Node need not know. */
const BUN = "bun:sqlite";

/**
 * Finds SQLite of this runtime: Bun's own on Bun, `node:sqlite` on Deno and Node.
 *
 * @throws {TransportError} If the runtime is from before it had one.
 */
export async function loadSqlite(): Promise<(path: string) => SqliteClient> {
  if ("Bun" in globalThis) {
    const { Database } = await import(BUN);
    return (path) => clientOf(new Database(path));
  }
  try {
    const { DatabaseSync } = await import("node:sqlite");
    return (path) => clientOf(new DatabaseSync(path));
  } catch (cause) {
    throw new TransportError(
      'Cannot load the transport "sqlite": this runtime has no "node:sqlite", which Node has from 22.13 on, and Deno from 2.2 on',
      { code: "dependency-missing", cause },
    );
  }
}

/**
 * Makes one name of all that a file has.
 *
 * @param path The path, of a file that need not be there.
 * @returns The path from the root, links in its folder followed.
 */
export function absolutePath(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    // It is yet to be made.
  }
  try {
    return join(realpathSync(dirname(whole)), basename(whole));
  } catch {
    return whole; // opening it says what is wrong
  }
}

/** A file, as the system knows it. To open it ourselves would take SQLite's locks from it. */
export interface FileState {
  /** Tells it from others that may have its name later; `undefined`: it cannot be told. */
  readonly id: string | undefined;
  /** Bytes. */
  readonly size: number;
}

/** Looks at a file. */
export function stateOfFile(path: string): FileState {
  try {
    const { dev, ino, size } = statSync(path, { bigint: true });
    return { id: `${dev}:${ino}`, size: Number(size) };
  } catch {
    return { id: undefined, size: 0 };
  }
}

/** No bytes, in memory that is some: Node 22 and 24 make `NULL` of bytes that have none. */
const NO_BYTES = new Uint8Array(1).subarray(1);

function bound(value: Value): Value {
  return value instanceof Uint8Array && value.length === 0 ? NO_BYTES : value;
}

/** Makes one of a database that is open. */
export function clientOf(native: Native): SqliteClient {
  const known = new Map<string, Prepared>();
  const prepare = (sql: string): Prepared => {
    let statement = known.get(sql);
    if (statement === undefined) {
      known.set(sql, statement = prepareIn(native, sql));
    }
    return statement;
  };
  const lists = new Map<string, (values: readonly Value[]) => unknown>();
  const prepareLists = (sql: string) => {
    const statement = prepareIn(native, sql);
    if (statement.values !== undefined) {
      return (values: readonly Value[]) => statement.values?.(...values);
    }
    if (statement.setReturnArrays !== undefined) {
      statement.setReturnArrays(true);
      return (values: readonly Value[]) => statement.all(...values);
    }
    return (values: readonly Value[]) =>
      (statement.all(...values) as readonly Row[]).map(Object.values<Value>);
  };
  return {
    native,
    lists(sql, values) {
      let read = lists.get(sql);
      if (read === undefined) lists.set(sql, read = prepareLists(sql));
      return read(values) as readonly (readonly Value[])[];
    },
    exec: (sql) => native.exec(sql),
    // SQLite's rows are what a statement says.
    rows: (sql, values) =>
      prepare(sql).all(...values.map(bound)) as readonly Row[],
    run: (sql, values) =>
      Number(prepare(sql).run(...values.map(bound)).changes),
    close() {
      known.clear();
      lists.clear();
      native.close();
    },
  };
}
