/** An item that failed, and its error. */
export interface Failure<T> {
  /** With which of the list. */
  readonly item: T;
  /** Why. */
  readonly error: unknown;
}

/**
 * Does something with each of a list, several at once, and begins no more when one has
 * failed.
 *
 * @typeParam T The type of the list's items.
 * @param items The list.
 * @param width How many at once.
 * @param act The action on one.
 * @returns The first failure, when those that had begun have ended; `undefined` if none failed.
 */
export async function eachAtOnce<T>(
  items: Iterable<T>,
  width: number,
  act: (item: T) => Promise<void>,
): Promise<Failure<T> | undefined> {
  const failures: Failure<T>[] = [];
  const waiting = items[Symbol.iterator]();
  const work = async () => {
    while (failures.length === 0) {
      const next = waiting.next();
      if (next.done) return;
      try {
        await act(next.value);
      } catch (error) {
        failures.push({ item: next.value, error });
      }
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return failures[0];
}

/**
 * Does something with each of a list, several at once.
 *
 * @typeParam T The type of the list's items.
 * @typeParam R The type of the results.
 * @param items The list.
 * @param width How many at once.
 * @param act The action on one.
 * @returns The results, in the order of the list.
 * @throws The first error, when those that had begun have ended.
 */
export async function mapAtOnce<T, R>(
  items: readonly T[],
  width: number,
  act: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const failure = await eachAtOnce(
    items.entries(),
    width,
    async ([at, item]) => {
      results[at] = await act(item);
    },
  );
  if (failure !== undefined) throw failure.error;
  return results;
}
