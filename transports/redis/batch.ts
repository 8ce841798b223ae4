/** What is put together, before it leaves. */

import type { Deadline } from "../../async/deadlines.ts";
import type { PutResult, StoreItem } from "../store/store.ts";
import type { Push } from "./client.ts";

/** One message that waits to be put with the others of its turn. */
export interface Waiting {
  readonly items: readonly StoreItem[];
  readonly version: string | undefined;
  readonly announced: readonly string[] | undefined;
  readonly deadline: number | undefined;
  readonly signal: AbortSignal | undefined;
  resolve(result: PutResult): void;
  reject(error: unknown): void;
}

/** One message that is under way, and its lists. */
export interface Sent {
  readonly put: Waiting;
  readonly lists: readonly string[];
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

/** What leaves in one call: all of it rests on the same view. */
export interface Batch {
  /** `"plain"` needs no view, and no script: to queues by their names. */
  readonly version: string | undefined;
  readonly sent: Sent[];
  readonly lists: Map<string, string[]>;
  /** The same of a plain batch. */
  readonly pushes: Map<string, Push>;
  /** What is published by PUB/SUB as well. */
  readonly announced: Announced[];
  readonly queues: Set<string>;
  readonly timed: Map<string, number>;
  /** Of queues that go when they are not used, for how long that may be. */
  readonly expiring: Map<string, number>;
  /** The first and the last deadline. */
  first: number;
  last: number;
  watch: Deadline | undefined;
  size: number;
  /** How many texts there are. */
  copies: number;
}

/** Lists that cannot be written to, and why. */
export type Refused = ReadonlyMap<string, Error>;
