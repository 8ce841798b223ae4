import type { RunOptions } from "@dashi/mq";
import type { Word } from "./referee.ts";

/** How the workers run. */
export const ORDERED_RUN: RunOptions<[key: number, n: number]> = {
  ordered: true,
  concurrency: 50,
  retry: { attempts: 10_000, backoff: 0 },
};

/**
 * Handles a message, for a moment by chance, and fails for one of ten.
 *
 * @param message Its key, and its number.
 * @param say Says what is done; resolves when the referee has heard it.
 */
export async function workOn(
  [key, n]: readonly [key: number, n: number],
  say: (word: Word) => void | Promise<void>,
): Promise<void> {
  await say(["begin", key, n]);
  if (Math.random() < 0.1) await new Promise((done) => setTimeout(done, 2));
  const isDone = Math.random() >= 0.1;
  await say([isDone ? "done" : "failed", key, n]);
  if (!isDone) throw new Error("by chance");
}
