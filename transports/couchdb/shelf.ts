/** What we know of a queue while the feed tells what changes. */
export interface Shelf {
  /** Before this id there is nothing to take. */
  from: string;
  /** Whether there may be something from there on. */
  dirty: boolean;
  /** When something that is not due yet will be, as far as we know. */
  nextDue: number;
  /** Whether we looked for what will be due. */
  looked: boolean;
  /** Whether there is what is due now and stands behind it: its publisher's server has another time. */
  ahead: boolean;
}

/** Makes one of a queue that was not looked at yet, from an id on. */
export function newShelf(from: string): Shelf {
  return { from, dirty: true, nextDue: Infinity, looked: false, ahead: false };
}

/** Notes that there may be something to take from an id on. */
export function reach(shelf: Shelf, id: string): void {
  shelf.dirty = true;
  if (id < shelf.from) shelf.from = id;
}
