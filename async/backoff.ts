/** How long to wait before trying again. */
export interface BackoffPolicy {
  /** The wait before the second attempt, at most, ms. */
  readonly first: number;
  /** The longest wait, ms. */
  readonly most: number;
}

/**
 * Says how long to wait after a failed attempt: doubling, and between half and
 * all of that, so that clients which failed together do not come back together.
 *
 * @param attempt How many attempts failed before this one, from 0.
 * @param policy The first and the longest wait.
 * @param random A number from 0 to 1, by chance.
 * @returns Milliseconds.
 */
export function backoff(
  attempt: number,
  policy: BackoffPolicy,
  random: number,
): number {
  const ceiling = Math.min(policy.most, policy.first * 2 ** attempt);
  return ceiling / 2 + random * ceiling / 2;
}
