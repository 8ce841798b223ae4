import type { Context } from "./context.ts";
import { isStale } from "./documents.ts";
import type { Fields } from "./port.ts";
import { filtersOf, MongodbReservation } from "./reservation.ts";

/** A message that was claimed, as it lies there. */
export interface Claimed {
  readonly document: Fields;
  /** When its lease ends, the server's time. */
  readonly until: number;
}

/** Gives back what was claimed and delivered to nobody. */
export type GiveBack = (taken: readonly MongodbReservation[]) => Promise<void>;

/** Removes those whose time was over, and reads the others. */
export async function withoutStale(
  context: Context,
  claimed: readonly Claimed[],
  giveBack: GiveBack,
): Promise<MongodbReservation[]> {
  let now = context.now();
  const read = ({ document, until }: Claimed) =>
    new MongodbReservation(document, now, until);
  if (claimed.some(({ document }) => isStale(document, now))) {
    try {
      now = await context.freshNow();
    } catch (error) {
      await giveBack(claimed.map(read));
      throw error;
    }
  }
  const isOver = ({ document }: Claimed) => isStale(document, now);
  const stale = claimed.filter(isOver).map(read);
  if (stale.length > 0) {
    const { client, settings: { names } } = context;
    // Those that stay are found again when their leases are over.
    await context.callAgain(
      "remove expired messages",
      () => client.remove(names.messages, filtersOf(stale)),
    ).catch(() => {});
  }
  return claimed.filter((each) => !isOver(each)).map(read);
}
