/**
 * Which of many mutants are tried: by a seed, and of every function one before any has a
 * second. Each has its place by its own name, so that a change of the sources elsewhere
 * does not change the sample.
 */

import type { Mutant } from "./operators.ts";

/**
 * Takes so many.
 *
 * @param mutants All that there are.
 * @param count How many are wanted.
 * @param seed Which of the many samples.
 * @param isOne Leaves out some; is asked of no more than it must.
 */
export function sampleOf(
  mutants: readonly Mutant[],
  count: number,
  seed: number,
  isOne: (mutant: Mutant) => boolean = () => true,
): readonly Mutant[] {
  const functions = Map.groupBy(
    mutants,
    (each) => `${each.file} ${each.function}`,
  );
  const lists = sorted([...functions], ([name]) => placeOf(name, seed))
    .map(([, list]) => sorted(list, ({ key }) => placeOf(key, seed)).values());
  const sample: Mutant[] = [];
  for (let before = -1; before < sample.length;) {
    before = sample.length;
    for (const list of lists) {
      if (sample.length === count) return sample;
      const next = firstOf(list, isOne);
      if (next !== undefined) sample.push(next);
    }
  }
  return sample;
}

/** The next of those that are left; not by `find`, which would end the rest. */
function firstOf<T>(
  left: Iterator<T>,
  isOne: (each: T) => boolean,
): T | undefined {
  for (let next = left.next(); !next.done; next = left.next()) {
    if (isOne(next.value)) return next.value;
  }
  return undefined;
}

function sorted<T>(list: readonly T[], place: (each: T) => number): T[] {
  return list.map((each) => [place(each), each] as const)
    .sort(([a], [b]) => a - b)
    .map(([, each]) => each);
}

/** A number that only the seed and the name decide (FNV-1a, then murmur3's last steps). */
function placeOf(name: string, seed: number): number {
  let hash = 0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1);
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
