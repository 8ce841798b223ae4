/** How long to wait before something that failed is tried again: waits that grow. */
export interface Backoff {
  /** The first wait, ms. */
  readonly initialDelay?: number | undefined;
  /** The longest wait, ms. Without it, a longer `initialDelay` is the longest. */
  readonly maxDelay?: number | undefined;
  /** The factor by which each wait is multiplied to make the next. @default {2} */
  readonly factor?: number | undefined;
  /**
   * The share of each wait that is left to chance, from 0 to 1: with `0.5` it is between
   * half and all of it, so that those who failed together do not come back together.
   * @default {0.5}
   */
  readonly jitter?: number | undefined;
}

/** The waits of a {@linkcode Backoff} that says nothing of them. */
export interface DefaultDelays {
  /** The first, ms. */
  readonly initialDelay: number;
  /** The longest, ms. */
  readonly maxDelay: number;
}

/**
 * Says how long to wait after a failed attempt.
 *
 * @param failures How many attempts failed before this one, from 0.
 * @param policy The waits.
 * @param defaults The values that the policy leaves out.
 * @param random A number from 0 to 1, by chance: the whole wait with 1.
 * @returns Milliseconds.
 */
export function backoff(
  failures: number,
  policy: Backoff,
  defaults: DefaultDelays,
  random: number,
): number {
  const { initialDelay = defaults.initialDelay } = policy;
  const { factor = 2, jitter = 0.5 } = policy;
  const { maxDelay = Math.max(initialDelay, defaults.maxDelay) } = policy;
  const delay = Math.min(maxDelay, initialDelay * factor ** failures);
  return delay * (1 - jitter * (1 - random));
}
