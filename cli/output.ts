import { printable } from "../model/foreign_text.ts";
import type { Terminal } from "./terminal.ts";

/** One column of a table. */
export interface Column<T> {
  /** Its head. */
  readonly head: string;
  /** Its text in a row; nothing where there is none. */
  text(row: T): string | number | undefined;
  /** Whether its texts are numbers, which stand at its right. @default {false} */
  readonly isNumber?: boolean | undefined;
}

/** So much of a cell is shown, characters: of the last column as much as the terminal has room for. */
const [MOST, MOST_OF_LAST] = [60, 1000];

/** What commands print: tables for people, a line of JSON for each row for programs. */
export class Output {
  readonly #terminal: Terminal;
  readonly #columns: number | undefined;
  #isCut = false;

  /** Makes one; `json` asks for JSON on a terminal, too. */
  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal;
    this.#columns = json ? undefined : terminal.columns;
  }

  /** Whether people read it. */
  get isTable(): boolean {
    return this.#columns !== undefined;
  }

  /** Whether a line was longer than the terminal is wide. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /**
   * Prints rows, in a pipe each as it comes; nothing where there is none.
   *
   * @param rows The rows.
   * @param columns The columns of a table; the last is cut off where the terminal ends.
   * @param written What is written of a row as JSON. @default {the row}
   * @returns How many there were.
   */
  async print<T>(
    rows: Iterable<T> | AsyncIterable<T>,
    columns: readonly Column<T>[],
    written: (row: T) => unknown = (row) => row,
  ): Promise<number> {
    let count = 0;
    const lines: string[][] = [];
    for await (const row of rows) {
      count++;
      if (this.isTable) lines.push(cells(row, columns));
      else await this.#terminal.write(`${jsonOf(written(row))}\n`);
    }
    if (!this.isTable || count === 0) return count; // a head alone says nothing
    const table = [columns.map(({ head }) => head), ...lines];
    await this.#terminal.write(this.#format(table, columns));
    return count;
  }

  /**
   * Prints a row as soon as it is there, on a terminal as a line without a head.
   *
   * @param row The row.
   * @param columns The columns.
   * @param written What is written of it as JSON.
   */
  async printLine<T>(
    row: T,
    columns: readonly Column<T>[],
    written: (row: T) => unknown,
  ): Promise<void> {
    await this.#terminal.write(
      this.isTable
        ? this.#format([cells(row, columns)], columns)
        : `${jsonOf(written(row))}\n`,
    );
  }

  /** Rows in the order of their names, where they are read all before they are shown. */
  async *sorted<T extends { readonly name: string }>(
    rows: Iterable<T> | AsyncIterable<T>,
  ): AsyncIterable<T> {
    if (!this.isTable) return yield* rows;
    const all: T[] = [];
    for await (const each of rows) all.push(each);
    yield* all.toSorted((a, b) => a.name < b.name ? -1 : 1);
  }

  #format<T>(
    table: readonly (readonly string[])[],
    columns: readonly Column<T>[],
  ): string {
    const widths = columns.map((_, i) =>
      Math.max(...table.map((row) => row[i]?.length ?? 0))
    );
    return table.map((row) => {
      const line = row.map((text, i) =>
        columns[i]?.isNumber
          ? text.padStart(widths[i] ?? 0)
          : text.padEnd(widths[i] ?? 0)
      ).join("  ").trimEnd();
      const most = Math.max(this.#columns || Infinity, 20);
      if (line.length <= most) return line;
      this.#isCut = true;
      return `${line.slice(0, most - 1)}…`;
    }).map((line) => `${line}\n`).join("");
  }
}

function cells<T>(row: T, columns: readonly Column<T>[]): string[] {
  return columns.map((each, i) =>
    cell(each.text(row), i < columns.length - 1 ? MOST : MOST_OF_LAST)
  );
}

/** What a broker or a message says is shown, and never obeyed by the terminal. */
function cell(text: string | number | undefined, most: number): string {
  return text === undefined ? "" : printable(String(text), most);
}

/**
 * Writes a value as JSON: bytes as base64, large integers as strings.
 *
 * @param value The value.
 * @returns One line.
 */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, each) => {
    if (typeof each === "bigint") {
      const number = Number(each);
      return Number.isSafeInteger(number) ? number : String(each);
    }
    return each instanceof Uint8Array ? base64(each) : each;
  }) ?? "null";
}

/**
 * Writes bytes as base64.
 *
 * @param bytes The bytes.
 * @returns The text.
 */
export function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
