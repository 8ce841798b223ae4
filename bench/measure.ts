// deno-lint-ignore-file no-console -- a program for people
/** The parts that the benchmarks share. */

/** So many publishes wait for their answer at once. */
export const WINDOW = 1000;

/** One way to do the work; returns how many messages a second it did. */
export interface Contender {
  readonly name: string;
  run(count: number): Promise<number>;
}

/** Runs contenders by turns, and prints the median of each and its ratio to the first. */
export async function compare(
  title: string,
  contenders: readonly Contender[],
  options: { readonly count: number; readonly rounds: number },
): Promise<void> {
  const rates = new Map<string, number[]>();
  for (const { run } of contenders) await run(Math.ceil(options.count / 5));
  for (let round = 0; round < options.rounds; round++) {
    for (const { name, run } of contenders) {
      const rate = await run(options.count);
      rates.set(name, [...rates.get(name) ?? [], rate]);
    }
  }
  console.log(`\n${title}`);
  const first = median(rates.get(contenders[0]?.name ?? "") ?? []);
  for (const [name, list] of rates) {
    const middle = median(list);
    const ratio = (middle / first).toFixed(2);
    const [least, most] = [Math.min(...list), Math.max(...list)];
    console.log(
      `  ${name.padEnd(28)} ${format(middle)}/s  ${ratio} x  (${
        format(least).trim()
      } to ${format(most).trim()})`,
    );
  }
}

/** Messages a second, from a count and when it began. */
export function rate(count: number, began: number): number {
  return count / ((performance.now() - began) / 1000);
}

/** The one in the middle. */
export function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function format(value: number): string {
  return Math.round(value).toLocaleString("en").padStart(10);
}
