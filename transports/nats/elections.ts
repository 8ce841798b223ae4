import type { Clock } from "../../async/clock.ts";
import { ELECTING, isOf, LONGEST_PAUSE, PATIENCE } from "./errors.ts";

/**
 * Asks JetStream, again while its servers say that they elect one that answers, and have done
 * nothing, or that they are still about what was asked before.
 *
 * @typeParam T The type of the answer.
 * @param client The client, whose pauses end with its connection.
 * @param ask Asks once.
 * @returns The answer.
 */
export async function pastElections<T>(
  client: { readonly clock: Clock; pause(duration: number): Promise<void> },
  ask: () => Promise<T>,
): Promise<T> {
  const { clock } = client;
  const until = clock.now() + PATIENCE;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isOf(error, ...ELECTING) || clock.now() > until) throw error;
    }
    await client.pause(LONGEST_PAUSE);
  }
}
