/**
 * Which of many mutants are tried: by a seed, and of every function one before any has a
 * second. Each has its place by its own name, so that a change of the sources elsewhere
 * does not change the sample.
 */

import type { Mutant } from "./operators.ts";

/** Takes so many. */
export function sampleOf(
  mutants: readonly Mutant[],
  count: number,
  seed: number,
): readonly Mutant[] {
  const functions = Map.groupBy(
    mutants,
    (each) => `${each.file} ${each.function}`,
  );
  const lists = sorted([...functions], ([name]) => placeOf(name, seed))
    .map(([, list]) => sorted(list, ({ key }) => placeOf(key, seed)));
  const sample: Mutant[] = [];
  for (let round = 0; sample.length < count; round++) {
    const ofRound = lists.flatMap((list) => list[round] ?? []);
    if (ofRound.length === 0) break;
    sample.push(...ofRound.slice(0, count - sample.length));
  }
  return sample;
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
