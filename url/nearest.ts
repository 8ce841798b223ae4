/**
 * Finds what somebody may have meant.
 *
 * @param word The word as it was written.
 * @param candidates The words that could be right.
 * @returns The candidate that differs least, if it shares at least 0.6 of its letters with the word.
 */
export function nearest(
  word: string,
  candidates: Iterable<string>,
): string | undefined {
  if (word.length > 100) return undefined; // no name is near to it
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestLikeness = 0.6;
  for (const candidate of candidates) {
    const longer = Math.max(word.length, candidate.length);
    const most = Math.floor(longer * (1 - bestLikeness) + 1e-9);
    if (Math.abs(word.length - candidate.length) > most) continue;
    const likeness = 1 -
      distance(lower, candidate.toLowerCase(), most) / longer;
    if (likeness >= bestLikeness) {
      best = candidate;
      bestLikeness = likeness;
    }
  }
  return best;
}

/** How many letters must be added, dropped, replaced, or swapped with their neighbours; more than `most` is not counted further. */
function distance(a: string, b: string, most: number): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] &&
        a[i - 2] === b[j - 1];
      next.push(Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swapped ? (before[j - 2] ?? 0) + 1 : Infinity,
      ));
      least = Math.min(least, next[j] ?? 0);
    }
    // A swap reaches over one row, so two of them have to be beyond it.
    if (least > most + 1) return Infinity;
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
