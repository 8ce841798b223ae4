/**
 * Awaits all that some takings have taken. The error of one counts where no other has
 * anything: what is ours would wait until its lease is over, and the next call is told.
 *
 * @typeParam T One message that was taken.
 * @param takings Those under way.
 * @returns All that they took.
 * @throws The first error, if nothing was taken.
 */
export async function allTaken<T>(
  takings: readonly Promise<readonly T[]>[],
): Promise<T[]> {
  const ends = await Promise.allSettled(takings);
  const taken = ends.flatMap((each) =>
    each.status === "fulfilled" ? each.value : []
  );
  const failure = ends.find((each) => each.status === "rejected");
  if (taken.length === 0 && failure !== undefined) throw failure.reason;
  return taken;
}
