/**
 * Finds what somebody may have meant.
 *
 * @param word What was written.
 * @param candidates What could be right.
 * @returns The candidate that differs least, if it shares at least 0.6 of its letters with the word.
 */
export function nearest(
  word: string,
  candidates: Iterable<string>,
): string | undefined {
  if (word.length > 100) return undefined; // no name is near to it
  let best: string | undefined;
  let bestLikeness = 0.6;
  for (const candidate of candidates) {
    const longer = Math.max(word.length, candidate.length);
    const likeness = 1 - distance(word.toLowerCase(), candidate) / longer;
    if (likeness >= bestLikeness) {
      best = candidate;
      bestLikeness = likeness;
    }
  }
  return best;
}

/** How many letters must be added, dropped, replaced, or swapped with their neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] &&
        a[i - 2] === b[j - 1];
      next.push(Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swapped ? (before[j - 2] ?? 0) + 1 : Infinity,
      ));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
