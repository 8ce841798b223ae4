/** Databases of Redis for those who must not meet. */

/** For connections that are cut, and fall silent, with what they have just taken. */
export const FAULTS = 10;

/** For tests whose leases end after two seconds. */
const SHORT_LEASES = 14;

/**
 * Names another database of a Redis. What is unacked, delayed or expired there is seen to by
 * all who use it, each by its own visibility timeout: a short one takes from others what they
 * hold, and what a process that is killed has just taken is late for all.
 *
 * @param url The URL of any broker; that of another than one Redis stays as it is.
 * @param database The database.
 */
export function apart(url: string, database: number = SHORT_LEASES): string {
  if (url.includes("cluster=")) return url;
  return url.replace(
    /^(rediss?:\/\/[^/?]*)(?:\/\d*)?(?=\?|$)/,
    `$1/${database}`,
  );
}
