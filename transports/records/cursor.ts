/** Greater than every message's id. */
const END = "n";

/** How far a queue was read, while the database tells what changes. */
export class QueueCursor {
  /** Before this id there is nothing to take. */
  from: string;
  /** Whether there may be something from there on. */
  isDirty = true;
  /** When something that is not due yet will be, as far as is known. */
  nextDue: number = Infinity;
  /** Whether it is known what will be due. */
  hasLookedAhead = false;
  /** Whether something is due now and stands behind what is not: its publisher's clock is ahead. */
  isAhead = false;

  /** Makes one of a queue that was not read yet, from an id on. */
  constructor(from: string) {
    this.from = from;
  }

  /** Notes that there may be something to take from an id on. */
  rewindTo(id: string): void {
    this.isDirty = true;
    if (id < this.from) this.from = id;
  }

  /** Reads the whole queue again from an id on, and what will be due. */
  restart(from: string): void {
    this.nextDue = Infinity;
    this.hasLookedAhead = false;
    this.from = from;
    this.isDirty = true;
  }

  /** Begins to read: a change that is reported meanwhile rewinds it. Returns where to read. */
  begin(): string {
    const { from } = this;
    this.from = END;
    this.isDirty = false;
    return from;
  }
}
