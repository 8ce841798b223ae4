/** So many names are remembered, the newest. */
const MOST = 10_000;

/**
 * The queues that messages asked to be answered to. A program that is not ours waits for
 * its answers in a queue that leaves no trace while it is empty: that it was named tells
 * that it is there.
 */
export class ReplyQueues {
  readonly #names = new Set<string>();

  /** Takes over where a message wants its answer. */
  note(replyTo: string | undefined): void {
    // Names that brokers choose are of ours: those are in the tables.
    if (replyTo === undefined || replyTo.startsWith("amq.")) return;
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
