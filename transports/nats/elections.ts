import type { Clock } from "../../async/clock.ts";
import { ELECTING, isOf, LONGEST_PAUSE, PATIENCE } from "./errors.ts";

/** The pause before what failed is tried again for the first time, ms; the next ones are twice as long each. */
const FIRST_PAUSE = 20;

/** Whether a cluster says that it elects a leader, and has done nothing, or that it is still about what was asked before. */
export function isElecting(error: unknown): boolean {
  return isOf(error, ...ELECTING);
}

/**
 * Asks JetStream, and again for a while where it fails for a reason that passes.
 *
 * @typeParam T The type of the answer.
 * @param client The client, whose pauses end with its connection.
 * @param ask Asks once.
 * @param mayPass Says whether an error may pass; where it rejects, that is the caller's error. @default {where servers elect}
 * @returns The answer.
 */
export function pastElections<T>(
  client: { readonly clock: Clock; pause(duration: number): Promise<void> },
  ask: () => Promise<T>,
  mayPass: (error: unknown) => boolean | Promise<boolean> = isElecting,
): Promise<T> {
  const again = async (error: unknown): Promise<T> => {
    const until = client.clock.now() + PATIENCE;
    for (let pause = FIRST_PAUSE;; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      if (!await mayPass(error) || client.clock.now() > until) throw error;
      await client.pause(pause);
      try {
        return await ask();
      } catch (thrown) {
        error = thrown;
      }
    }
  };
  // Most are answered at once: that is to cost no more than this.
  return ask().catch(again);
}
