/** The messages that are put together in one call. */

import type { STALE, StoreItem } from "../store/store.ts";
import type { Push } from "./socket/push_client.ts";

/** One message that waits to be put with the others of its turn. */
export interface Waiting {
  readonly items: readonly StoreItem[];
  readonly version: string | undefined;
  readonly announced: readonly string[] | undefined;
}

/** One queue's copy of a message. */
export interface Copy {
  readonly id: string;
  /** The envelope without what is this queue's alone. */
  readonly plain: string;
  readonly text: string;
  readonly expiresAt: number | undefined;
}

/** A text of a list that listeners are to have too. */
export interface Announced {
  /** Its name, with a line feed and a header behind it where it needs one. */
  readonly channel: string;
  readonly list: string;
  /** Its place among those that are put there in the same call. */
  readonly place: number;
}

/** The messages of one call: all of them depend on the same view. */
export interface Batch {
  /** `"plain"` needs no view, and no script: to queues by their names. */
  readonly version: string | undefined;
  /** Of each message its lists; or why it could not be written. */
  readonly written: (readonly string[] | { readonly error: unknown })[];
  readonly lists: Map<string, string[]>;
  /** The lists of ordered queues. */
  ordered: Set<string> | undefined;
  /** The same of a plain batch. */
  readonly pushes: Map<string, Push>;
  /** Of a plain batch, the list of the last message: most batches have one list. */
  last: {
    readonly queue: string;
    readonly priority: number | undefined;
    readonly list: string;
    readonly push: Push;
  } | undefined;
  /** The texts that are published by PUB/SUB as well. */
  readonly announced: Announced[];
  readonly queues: Set<string>;
  readonly timed: Map<string, number>;
  /** Of queues that go when they are not used, for how long that may be. */
  readonly expiring: Map<string, number>;
}

/** Lists that cannot be written to, and why; or whose queue is gone by now. */
export type Refused = ReadonlyMap<string, Error | typeof STALE>;
