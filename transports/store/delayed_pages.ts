/** So many are read at once: they may be large. */
const PAGE = 50;

/** The place of something among others: when it is due, and its name. */
export interface TimedPlace {
  readonly at: number;
  readonly id: string;
}

/**
 * Goes through what is sorted by a time, while what was read may be removed.
 *
 * @typeParam T What is read.
 * @param from The time to begin with.
 * @param read Reads so many, from a time on, in order.
 * @param placeOf Says where one stands.
 * @returns The pages, each once, and none that is empty.
 */
export async function* pagesByTime<T>(
  from: number,
  read: (from: number, limit: number) => Promise<readonly T[]>,
  placeOf: (item: T) => TimedPlace,
): AsyncIterable<readonly T[]> {
  // Those of one time that were read already.
  let seen = new Set<string>();
  for (let at = from;;) {
    const limit = PAGE + seen.size;
    const page = await read(at, limit);
    const before = seen;
    const next = page.filter((each) => !before.has(placeOf(each).id));
    const last = page.at(-1);
    if (last !== undefined) {
      const time = placeOf(last).at;
      if (time !== at) seen = new Set();
      at = time;
      for (const each of page) {
        const place = placeOf(each);
        if (place.at === time) seen.add(place.id);
      }
    }
    if (next.length > 0) yield next;
    if (page.length < limit) return;
  }
}
