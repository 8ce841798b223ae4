import { dashi, started } from "./running.ts";
import { until } from "../conformance/support.ts";
import { Pair } from "./moving.ts";

/** The result of a move that was killed, and run again. */
export interface KilledMove {
  /** How many were at the target when it was killed. */
  readonly before: number;
  /** How many the second run has moved. */
  readonly moved: number;
  /** How many are not at the target. */
  readonly lost: number;
  /** How many more than once. */
  readonly duplicated: number;
  /** Messages a second of the first run while it moved. */
  readonly rate: number;
  /** Seconds of the second run, which waits for the leases of the first. */
  readonly seconds: number;
  /** How the second run ended, and what it told. */
  readonly code: number;
  readonly err: string;
}

/**
 * Moves messages by a process that is killed, and by another, and looks what is there.
 *
 * @param from The URL of the source.
 * @param to That of the target.
 * @param count How many messages there are.
 * @param killAt It is killed when so many are at the target.
 * @param args More arguments of the first process.
 * @returns The result.
 */
export async function killedMove(
  from: string,
  to: string,
  count: number,
  killAt: number,
  args: readonly string[] = [],
): Promise<KilledMove> {
  await using pair = new Pair(from, to);
  await pair.open();
  await pair.fill(count);
  const variables = { DASHI_URL: from, DASHI_TO_URL: to };
  const child = started(["move", pair.name, ...args], variables);
  const output = child.output();
  const there = async () =>
    (await pair.target.queueStatus(pair.name).catch(() => {}))?.messageCount ??
      0;
  await until(async () => await there() > 0, "the first is moved");
  const began = performance.now();
  let [seen, isOver] = [0, false];
  output.then(() => isOver = true);
  while (seen < killAt && !isOver) seen = await there();
  const rate = seen / (performance.now() - began) * 1000;
  child.kill("SIGKILL");
  const { signal } = await output;
  if (signal !== "SIGKILL") throw new Error("it had ended before");
  const before = await there();
  const again = performance.now();
  const { code, err, rows } = await dashi(["move", pair.name], variables);
  const seconds = (performance.now() - again) / 1000;
  const arrived = await pair.arrived();
  const copies = [...arrived.values()].reduce((sum, each) => sum + each, 0);
  return {
    before,
    moved: rows.at(-1)?.moved ?? 0,
    lost: count - arrived.size,
    duplicated: copies - arrived.size,
    rate,
    seconds,
    code,
    err,
  };
}
