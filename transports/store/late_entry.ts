import type { Limits } from "../../async/limits.ts";
import type { Clock } from "../../async/clock.ts";
import { asError } from "../../model/error_text.ts";
import { NotNowError } from "../connection_errors.ts";

/** How long to wait until it is tried again, ms. */
const AGAIN = 500;

/** A consumer that takes messages, and stands in no table yet. */
export interface LateEntry {
  /** Whether somebody still consumes. */
  isWanted(): boolean;
  /** Writes it into the tables. */
  enter(): Promise<unknown>;
  /** Takes it out of them: it has ended while it was written. */
  leave(): Promise<unknown>;
  /** It cannot be written. */
  failed(error: Error): void;
}

/**
 * Enters a consumer into the tables as soon as they can be written: in a cluster the node that
 * has them may be full while others have messages. Never rejects.
 */
export async function enterLater(
  { clock, limits }: { readonly clock: Clock; readonly limits: Limits },
  entry: LateEntry,
): Promise<void> {
  while (entry.isWanted()) {
    // It is time, or the connection has ended.
    await new Promise((resolve) =>
      limits.watch({ deadline: clock.now() + AGAIN }, resolve)
    );
    if (!entry.isWanted()) return;
    try {
      await entry.enter();
      if (!entry.isWanted()) await entry.leave();
      return;
    } catch (error) {
      if (error instanceof NotNowError) continue;
      if (entry.isWanted()) entry.failed(asError(error));
      return;
    }
  }
}
