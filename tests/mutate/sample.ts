/** Which of many mutants are tried: by a seed, and of every function one before any has a second. */

import type { Random } from "../chaos/faults.ts";
import type { Mutant } from "./operators.ts";

/** Takes so many. */
export function sampleOf(
  mutants: readonly Mutant[],
  count: number,
  random: Random,
): readonly Mutant[] {
  const functions = Map.groupBy(
    mutants,
    (each) => `${each.file} ${each.function}`,
  );
  const lists = shuffled([...functions.values()], random)
    .map((list) => shuffled(list, random));
  const sample: Mutant[] = [];
  for (let round = 0; sample.length < count; round++) {
    const ofRound = lists.flatMap((list) => list[round] ?? []);
    if (ofRound.length === 0) break;
    sample.push(...ofRound.slice(0, count - sample.length));
  }
  return sample;
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  return list.map((each) => [random(), each] as const)
    .sort(([a], [b]) => a - b)
    .map(([, each]) => each);
}
