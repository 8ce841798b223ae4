import type { Clock } from "../../async/clock.ts";
import { ELECTING, isOf, LONGEST_PAUSE, PATIENCE } from "./errors.ts";

/**
 * Asks JetStream, again while its servers say that they elect one that answers, and have done
 * nothing, or that they are still about what was asked before.
 *
 * @typeParam T The type of the answer.
 * @param ask Asks once.
 * @param clock The clock.
 * @param pause Waits so many ms; rejects when the connection ends.
 * @returns The answer.
 */
export async function pastElections<T>(
  ask: () => Promise<T>,
  clock: Clock,
  pause: (duration: number) => Promise<void>,
): Promise<T> {
  const until = clock.now() + PATIENCE;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isOf(error, ...ELECTING) || clock.now() > until) throw error;
    }
    await pause(LONGEST_PAUSE);
  }
}
