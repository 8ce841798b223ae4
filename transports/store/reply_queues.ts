/** So many names are remembered, the newest. */
const MOST = 10_000;

/** How names begin that are in the tables. */
const OURS = /^(?:amq|dashi\.reply)\./;

/**
 * The queues that messages asked to be answered to. A program that is not ours waits for
 * its answers in a queue that leaves no trace while it is empty: that it was named tells
 * that it is there.
 */
export class ReplyQueues {
  readonly #names = new Set<string>();

  /** Takes over where a message wants its answer. */
  note(replyTo: string | undefined): void {
    // Names that brokers choose are of ours, and so are the queues of requests: those are
    // in the tables while somebody waits, and what is answered later must not stay there.
    if (replyTo === undefined || OURS.test(replyTo)) return;
    this.#names.delete(replyTo);
    this.#names.add(replyTo);
    if (this.#names.size <= MOST) return;
    for (const oldest of this.#names) {
      this.#names.delete(oldest);
      break;
    }
  }

  /** Whether an answer was asked for there. */
  has(name: string): boolean {
    return this.#names.has(name);
  }
}
