import { Statistics } from "./body.ts";
import type { Reply } from "./client.ts";
import { join, type Link } from "./link.ts";
import { MAX_TUBE, type Tubes } from "./tubes.ts";

/**
 * Behind a tube's name: where it is noted that its queue was deleted. No queue has such
 * a tube: in the name of one that ends like this the `$` is written as an escape.
 */
export const SUFFIX = "$$deleted";

/** How long a note stays, seconds: ten years. */
const DELAY = 315_360_000;

const UTF8 = new TextDecoder();

/**
 * Jobs that others have reserved from a queue when it is deleted go back into its tube when
 * they are released, and their holders need not know of the deletion. So who deletes a
 * queue of which something is held leaves a note beside it: a job that is delayed for
 * years. beanstalkd numbers its jobs, so every job with a lower number is of the queue that
 * was deleted.
 */
export class Deletions {
  readonly #link: Link;
  readonly #tubes: Tubes;
  /** By queue, the number below which jobs are of a queue that is no more; 0 where there is no note. */
  readonly #known = new Map<string, number>();

  /** Makes one over a store's socket. */
  constructor(link: Link, tubes: Tubes) {
    this.#link = link;
    this.#tubes = tubes;
  }

  /** The number below which a queue's jobs are not its own, as far as is known. */
  of(queue: string): number {
    return this.#known.get(queue) ?? 0;
  }

  /** Reads the notes of queues, where that was not done before. */
  async readAll(queues: readonly string[]): Promise<void> {
    for (const queue of queues) {
      if (!this.#known.has(queue)) await this.read(queue);
    }
  }

  /** Forgets a queue that is no more, if there is no note of it. */
  forget(queue: string): void {
    if (this.of(queue) === 0) this.#known.delete(queue);
  }

  /** Reads the note of a queue that somebody begins to use. */
  async read(queue: string): Promise<void> {
    if (this.#known.has(queue)) return;
    const found = await this.#peek(queue);
    const isNote = found !== undefined && UTF8.decode(found.body) === queue;
    this.#known.set(queue, isNote ? found.number : 0);
  }

  /** Notes that a queue is being deleted, where anything is in its tube that somebody may hold. */
  async begin(queue: string, statistics: Statistics): Promise<void> {
    const tube = this.#noteTube(queue);
    const some = statistics.number("current-jobs-ready") +
      statistics.number("current-jobs-reserved");
    if (tube === undefined || some === 0) return;
    const bytes = new TextEncoder().encode(queue).byteLength;
    const put = {
      text: `put 0 ${DELAY} 1 ${bytes}\r\n${queue}\r\n`,
      count: 1,
    };
    const replies = await this.#link.call(join(this.#link.use(tube), put), {
      action: `delete queue "${queue}"`,
    });
    const reply = replies.at(-1);
    // One that takes no more jobs, for it is drained or has no memory, has no new queue either.
    if (reply?.word === "INSERTED") this.#known.set(queue, reply.number);
  }

  /** Removes notes that are not needed: older ones; and this one, if nobody holds anything. */
  async end(queue: string): Promise<void> {
    const mine = this.of(queue);
    if (mine === 0) return;
    const action = `delete queue "${queue}"`;
    const [reply] = await this.#link.call(
      { text: `stats-tube ${this.#tubes.of(queue)}\r\n`, count: 1 },
      { action },
    );
    const held = reply?.word === "OK"
      ? new Statistics(reply.body).number("current-jobs-reserved")
      : 0;
    if (held === 0) this.#known.delete(queue);
    for (;;) {
      const found = await this.#peek(queue);
      if (found === undefined) break;
      if (held > 0 && found.number >= mine) break;
      await this.#link.call(
        { text: `delete ${found.number}\r\n`, count: 1 },
        { action },
      );
    }
  }

  /** The note that comes first. */
  async #peek(queue: string): Promise<Reply | undefined> {
    const tube = this.#noteTube(queue);
    if (tube === undefined) return undefined;
    const peek = { text: "peek-delayed\r\n", count: 1 };
    const replies = await this.#link.call(join(this.#link.use(tube), peek), {
      action: `look at queue "${queue}"`,
    });
    const reply = replies.at(-1);
    return reply?.word === "FOUND" ? reply : undefined;
  }

  /** There is no room for one behind the longest names. */
  #noteTube(queue: string): string | undefined {
    const tube = this.#tubes.of(queue) + SUFFIX;
    return tube.length > MAX_TUBE ? undefined : tube;
  }
}
