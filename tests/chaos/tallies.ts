/** The counts of several runs, as the closing table of the tests shows them. */

import { COUNTS, type Tally } from "./ledger.ts";

/** Reads what ledgers have noted: a tally a line. */
export function readTallies(text: string): Tally[] {
  return text.split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** Writes a table of the outcomes of all messages that were counted: the names, and the sums below. */
export function messageTable(tallies: readonly Tally[]): string {
  const sums = COUNTS.map((name) =>
    String(tallies.reduce((sum, tally) => sum + tally[name], 0))
  );
  const widths = COUNTS.map((name, i) =>
    Math.max(name.length, sums[i]?.length ?? 0)
  );
  const row = (first: string, cells: readonly string[]) =>
    [first, ...cells.map((cell, i) => cell.padStart(widths[i] ?? 0))].join(
      "  ",
    );
  return `${row("Messages", COUNTS)}\n${row("        ", sums)}`;
}
