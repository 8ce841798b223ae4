import type { Context } from "./context.ts";
import { hiddenName } from "./documents.ts";
import { isThereAlready } from "./errors.ts";
import { FIRST, laneId, type LaneName, placesName } from "./lane_documents.ts";
import type { Fields, UpdateStatement } from "./port.ts";
import type { MongodbReservation } from "./reservation.ts";
import type { View } from "./view.ts";

/** Two times of one process are not the same: a turn comes so much after the one before, ms. */
const STEP = 1 / 1024;
/** So often a key is written that others write at the same time. */
const ATTEMPTS = 5;

/**
 * The keys of ordered queues, `x-ordered`, and their turns; lane_documents.ts has the layout.
 *
 * Who holds a key alone takes and changes its first message; so the lease of the key is that
 * of the message, and a message is out of its place for nobody. A key whose messages have
 * gone is removed by who finds it empty, unless something was put in between: that is what
 * `puts` counts. Messages are put with their putter as `holder`, until their key is there:
 * so who gives back what a dead one held makes the key, too. Turns are the server's times.
 *
 * Messages without a key lie in the queue itself, as in any other, and so do those that came
 * from Kombu, or were delayed: with a key they are filed by who takes them. Such a
 * queue has a document for the turns of all of them, whose key is empty.
 */
export class Lanes {
  readonly #context: Context;
  readonly #view: View;
  readonly #prefix: string;
  #count = 0;
  #turn = 0;
  #open: Promise<unknown> | undefined;

  /** Makes them for one connection of an owner. */
  constructor(context: Context, view: View, owner: string) {
    this.#context = context;
    this.#view = view;
    this.#prefix = `${owner}.${crypto.randomUUID()}.`;
  }

  /** Says whether a queue is ordered. */
  isOrdered(queue: string): boolean {
    return this.#view.topology.queue(queue)?.traits.ordered === true;
  }

  /** Whether any queue is. */
  get isUsed(): boolean {
    if (this.#open !== undefined) return true;
    for (const { traits } of this.#view.topology.queues()) {
      if (traits.ordered) return true;
    }
    return false;
  }

  /** Makes the indexes, with the first ordered queue. */
  open(): Promise<unknown> {
    if (this.#open !== undefined) return this.#open;
    const { client, settings: { names } } = this.#context;
    const opening = this.#call("open the messages", () =>
      Promise.all([
        client.ensureIndex(names.messages, { holder: 1 }, { sparse: true }),
        client.ensureIndex(names.messages, { dies_at: 1 }, { sparse: true }),
      ]));
    this.#open = opening;
    opening.catch(() => this.#open = undefined);
    return opening;
  }

  /** Names somebody who holds keys, or puts. */
  nextHolder(): string {
    return `${this.#prefix}${++this.#count}`;
  }

  /** Counts places of a queue: returns the first of so many. */
  async places(queue: string, count: number): Promise<number> {
    const { client, settings: { names } } = this.#context;
    const _id = placesName(queue);
    const counted = await this.#again(
      "count places",
      () =>
        client.claim(names.messages, { _id }, {}, {
          $inc: { next: count },
          $setOnInsert: { queue: _id, priority: 0 },
        }, { upsert: true, safe: true }),
    );
    return FIRST + Number(counted?.next) - count;
  }

  /** Lets keys have turns, if they have none, for what a holder has put: from then on it is anybody's. */
  async stand(lanes: readonly LaneName[], holder?: string): Promise<void> {
    const { client, settings: { names } } = this.#context;
    const puts = new Map<string, LaneName & { count: number }>();
    for (const lane of lanes) {
      const id = laneId(lane);
      const known = puts.get(id);
      if (known === undefined) puts.set(id, { ...lane, count: 1 });
      else known.count++;
    }
    const statements: UpdateStatement[] = [...puts].map((
      [_id, { queue, key, count }],
    ) => ({
      filter: { _id },
      update: {
        $inc: { puts: count },
        $setOnInsert: {
          queue: hiddenName(queue, "ring"),
          priority: this.#nextTurn(),
          key,
        },
      },
      upsert: true,
    }));
    if (holder !== undefined) {
      statements.push({
        filter: { holder },
        update: { $unset: { holder: "" } },
        many: true,
      });
    }
    await this.#again(
      "put messages",
      () => client.update(names.messages, statements, { safe: true }),
    );
  }

  /** Makes the statements that let the keys of settled messages have another turn. */
  freeing(held: readonly MongodbReservation[]): UpdateStatement[] {
    const groups = Map.groupBy(
      held.filter(({ lane }) => lane !== undefined),
      ({ claim, queue }) => `${claim} ${queue}`,
    );
    return [...groups.values()].map((group) => {
      const ids = group.map(({ lane }) => lane?.id);
      const [{ claim = "", queue = "" } = {}] = group;
      const statement = this.passing(
        { holder: claim, _id: { $in: ids } },
        queue,
      );
      return { ...statement, many: true };
    });
  }

  /** Lets the keys of settled messages have another turn. */
  async free(held: readonly MongodbReservation[]): Promise<void> {
    await this.pass(this.freeing(held));
  }

  /** Lets keys have another turn, by these statements. */
  async pass(statements: readonly UpdateStatement[]): Promise<void> {
    if (statements.length === 0) return;
    const { client, settings: { names } } = this.#context;
    await this.#context.callAgain(
      "pass turns on",
      () => client.update(names.messages, statements, { safe: false }),
    );
  }

  /** Makes the statement that lets a key have another turn, after all others. */
  passing(filter: Fields, queue: string): UpdateStatement {
    return {
      filter,
      update: {
        $set: {
          queue: hiddenName(queue, "ring"),
          priority: this.#nextTurn(),
        },
        $unset: { holder: "" },
      },
    };
  }

  /** Makes statements; returns how many documents they met. */
  async update(
    action: string,
    statements: readonly UpdateStatement[],
    safe = false,
  ): Promise<number> {
    if (statements.length === 0) return 0;
    const { client, settings: { names } } = this.#context;
    const { matched } = await this.#call(
      action,
      () => client.update(names.messages, statements, { safe }),
    );
    return matched;
  }

  /** Two that make a document at once: the other one has made it. */
  async #again<T>(action: string, call: () => Promise<T>): Promise<T> {
    return await this.#context.callAgain(action, async () => {
      for (let attempt = 1;; attempt++) {
        try {
          return await call();
        } catch (error) {
          if (!isThereAlready(error) || attempt === ATTEMPTS) throw error;
        }
      }
    });
  }

  #call<T>(action: string, call: () => Promise<T>): Promise<T> {
    return this.#context.call(action, undefined, call);
  }

  #nextTurn(): number {
    return this.#turn = Math.max(this.#context.now(), this.#turn + STEP);
  }
}
