import type { CallOptions } from "../../model/call_options.ts";
import type { ReserveWant } from "../store/store.ts";
import { allTaken } from "../store/taking.ts";
import type { Context } from "./context.ts";
import { type Claimed, withoutStale } from "./claimed.ts";
import {
  claimUpdate,
  hiddenName,
  isPast,
  restoreStatement,
  visibleName,
} from "./documents.ts";
import { DEAD_COUNT, nextAfter } from "./lane_returns.ts";
import type { LaneReturns } from "./lane_returns.ts";
import { LaneTaker } from "./lane_taker.ts";
import type { Lanes } from "./lanes.ts";
import { MongodbReservation, releaseStatement } from "./reservation.ts";
import type { Fields } from "./port.ts";
import { groupBy } from "./view.ts";

/** Messages of one queue in the order in which they are delivered. */
const IN_ORDER = { priority: 1, _id: 1 } as const;
/** The maximum number of documents that one look returns. */
const MAX = 1000;
/** Milliseconds between two looks for what nobody here knows of: dead letters of any queue. */
const DEAD_LOOK = 5000;

/** Claims messages: each atomically, with a lease, for one who can prove it. */
export class Claims {
  readonly #context: Context;
  readonly #lanes: Lanes;
  readonly #returns: LaneReturns;
  readonly #taker: LaneTaker;
  /** Begins every claim of this connection. */
  readonly #prefix: string;
  #count = 0;
  /** When dead letters of any queue are looked for next, on the server's clock. */
  #deadAt = 0;

  /** Makes claims of a connection of an owner. */
  constructor(
    context: Context,
    lanes: Lanes,
    returns: LaneReturns,
    owner: string,
  ) {
    this.#context = context;
    this.#lanes = lanes;
    this.#returns = returns;
    this.#taker = new LaneTaker(
      context,
      lanes,
      (taken) => this.giveBack(taken),
    );
    this.#prefix = `${claimPrefix(owner)}${crypto.randomUUID()}.`;
  }

  /** Notes when a message that this connection put is to be dead-lettered. */
  noteDeadAt(at: number): void {
    this.#deadAt = Math.min(this.#deadAt, at);
  }

  /** Milliseconds until dead letters are looked for. */
  deadIn(now: number): number {
    return Math.max(this.#deadAt - now, 0);
  }

  /** Claims messages of some queues at once; what one of them is refused for is told where there is nothing else. */
  async takeAll(wants: readonly ReserveWant[]): Promise<MongodbReservation[]> {
    const [first] = wants;
    if (first === undefined) return [];
    if (wants.length === 1) return await this.#take(first);
    return await allTaken(wants.map((want) => this.#take(want)));
  }

  #take(want: ReserveWant): Promise<MongodbReservation[]> {
    return this.#lanes.isOrdered(want.queue)
      ? this.#taker.take(want, (plain) => this.#takePlain(plain))
      : this.#takePlain(want);
  }

  async #takePlain(want: ReserveWant): Promise<MongodbReservation[]> {
    for (;;) {
      const first = await this.#claimOne(want.queue);
      if (first === undefined) return [];
      // If more is refused the first is handed over all the same, and the next call told.
      const claimed = want.limit > 1
        ? [
          first,
          ...await this.#claimMore(want.queue, want.limit - 1).catch(() => []),
        ]
        : [first];
      const fresh = await withoutStale(
        this.#context,
        claimed,
        (taken) => this.giveBack(taken),
      );
      if (fresh.length > 0) return fresh;
    }
  }

  /** One round trip, of which the index of Kombu's serves all that is asked. */
  async #claimOne(queue: string): Promise<Claimed | undefined> {
    const { client, settings: { names, lease } } = this.#context;
    const until = this.#context.now() + lease;
    const document = await this.#context.call(
      `take a message of queue "${queue}"`,
      undefined,
      () =>
        client.claim(
          names.messages,
          { queue },
          IN_ORDER,
          claimUpdate(queue, this.#nextClaim(), until),
        ),
    );
    return document === undefined ? undefined : { document, until };
  }

  /** Three round trips for any number: look, claim the messages that are still there, and read which they were. */
  async #claimMore(queue: string, limit: number): Promise<Claimed[]> {
    const { client, settings: { names, lease } } = this.#context;
    return await this.#context.call(
      `take messages of queue "${queue}"`,
      undefined,
      async () => {
        const seen = await client.find(names.messages, { queue }, {
          sort: IN_ORDER,
          limit,
          projection: { _id: 1 },
        });
        if (seen.length === 0) return [];
        const until = this.#context.now() + lease;
        return await this.#claimThese(queue, seen, until);
      },
    );
  }

  async #claimThese(
    queue: string,
    seen: readonly Fields[],
    until: number,
  ): Promise<Claimed[]> {
    const { client, settings: { names } } = this.#context;
    const claim = this.#nextClaim();
    const order = new Map(seen.map(({ _id }, index) => [String(_id), index]));
    const { matched } = await client.update(names.messages, [{
      filter: { _id: { $in: seen.map(({ _id }) => _id) }, queue },
      update: claimUpdate(queue, claim, until),
      many: true,
    }], { safe: false });
    if (matched === 0) return [];
    // They are ours by now, and would be so until their leases are over.
    const documents = await this.#context.callAgain(
      `take messages of queue "${queue}"`,
      () => client.find(names.messages, { claim }, {}),
    );
    const placeOf = ({ _id }: Fields) => order.get(String(_id)) ?? 0;
    return documents.sort((a, b) => placeOf(a) - placeOf(b))
      .map((document) => ({ document, until }));
  }

  #nextClaim(): string {
    return `${this.#prefix}${++this.#count}`;
  }

  /**
   * Looks at once which of some queues have ready messages, and brings back what
   * was out of sight for its time: leases that ran out, delays that are over.
   */
  async look(
    wants: readonly ReserveWant[],
    horizon: number,
  ): Promise<Look> {
    const { client, settings: { names } } = this.#context;
    const now = this.#context.now();
    return await this.#context.call("look into queues", undefined, async () => {
      const places: string[] = [];
      for (const { queue } of wants) {
        places.push(queue);
        places.push(hiddenName(queue, "unacked"), hiddenName(queue, "delayed"));
        if (this.#lanes.isOrdered(queue)) {
          places.push(hiddenName(queue, "ring"), hiddenName(queue, "busy"));
        }
      }
      const found = await client.find(
        names.messages,
        // The priorities of what is visible are no moments, and less.
        { queue: { $in: places }, priority: { $lte: now + horizon } },
        { limit: MAX, projection: { queue: 1, priority: 1 } },
      );
      const ready = new Set<string>();
      const keyless = new Set<string>();
      const due: unknown[] = [];
      const dueKeys: unknown[] = [];
      let nextAt = Infinity;
      for (const { _id, queue, priority } of found) {
        const place = String(queue);
        const name = visibleName(place);
        if (name === place) {
          ready.add(name);
          if (this.#lanes.isOrdered(name)) keyless.add(name);
        } else if (place === hiddenName(name, "ring")) ready.add(name);
        else if (Number(priority) <= now) {
          const isKey = place === hiddenName(name, "busy");
          (isKey ? dueKeys : due).push(_id);
          ready.add(name);
        } else nextAt = Math.min(nextAt, Number(priority));
      }
      if (due.length > 0) {
        const sure = await this.#context.freshNow();
        await this.#restore({ _id: { $in: due }, priority: { $lte: sure } });
      }
      if (dueKeys.length > 0) {
        await this.#restoreKeys({ _id: { $in: dueKeys } });
      }
      if (keyless.size > 0) {
        // Others put there, too, who do not know of turns.
        await this.#lanes.stand(
          [...keyless].map((queue) => ({ queue, key: "" })),
        );
      }
      return { ready, nextAt, complete: found.length < MAX };
    });
  }

  /**
   * Restores messages whose time out of sight is over, in some queues.
   *
   * @returns Milliseconds until there is more, or `Infinity`.
   */
  async ripen(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<number> {
    if (queues.length === 0) return Infinity;
    const { client, settings: { names } } = this.#context;
    const places = queues.flatMap((queue) => [
      hiddenName(queue, "unacked"),
      hiddenName(queue, "delayed"),
    ]);
    const busy = queues.filter((each) => this.#lanes.isOrdered(each))
      .map((queue) => hiddenName(queue, "busy"));
    const bring = async () => {
      const now = await this.#context.freshNow();
      const hidden = { queue: { $in: places } };
      await this.#restore({ ...hidden, priority: { $lte: now } });
      if (busy.length > 0) await this.#restoreKeys({ queue: { $in: busy } });
      const [next] = await client.find(
        names.messages,
        { queue: { $in: [...places, ...busy] }, priority: { $gt: now } },
        { sort: { priority: 1 }, limit: 1, projection: { priority: 1 } },
      );
      return next === undefined ? Infinity : Number(next.priority) - now;
    };
    return await this.#context.call("bring back messages", options, bring);
  }

  /** Gives back what an owner holds, of earlier connections or of all. */
  async restoreOwner(owner: string): Promise<void> {
    await this.#context.call(
      "give back messages",
      undefined,
      () => this.#restore(claimsOf(owner)),
    );
    await this.#returns.restoreOwner(owner);
  }

  /** Brings back keys whose time out of sight is over. */
  async #restoreKeys(busy: Fields): Promise<void> {
    const now = await this.#context.freshNow();
    await this.#returns.restoreKeys({
      ...busy,
      priority: { $gt: 9, $lte: now },
    });
  }

  async #restore(hidden: Fields): Promise<void> {
    const { client, settings: { names } } = this.#context;
    for (;;) {
      const due = await client.find(
        names.messages,
        // A visible message has a rank in `priority`, and no time.
        { $and: [{ priority: { $gt: 9 } }, hidden] },
        { limit: 100 },
      );
      if (due.length === 0) return;
      const { matched } = await client.update(
        names.messages,
        due.map(restoreStatement),
        { safe: false },
      );
      // The rest was taken or renewed in between.
      if (due.length < 100 || matched === 0) return;
    }
  }

  /** Claims messages of any queue that are to be dead-lettered, if it is time to look. */
  async takeDead(): Promise<MongodbReservation[]> {
    const { client, settings: { names, lease } } = this.#context;
    const now = this.#context.now();
    if (now < this.#deadAt) return [];
    const next = now + DEAD_LOOK;
    this.#deadAt = next;
    return await this.#context.call(
      "look for dead letters",
      undefined,
      async () => {
        const sure = await this.#context.freshNow();
        // Sorted, so that it is known when there is more.
        const soon = await client.find(
          names.messages,
          { dead_at: { $lte: new Date(next) } },
          {
            sort: { dead_at: 1 },
            limit: DEAD_COUNT,
            projection: { queue: 1, dead_at: 1 },
          },
        );
        const seen = soon.filter((each) => isPast(each.dead_at, sure));
        this.noteDeadAt(nextAfter(soon, "dead_at", sure));
        const taken: MongodbReservation[] = [];
        try {
          for (const [queue, documents] of groupBy(seen, "queue")) {
            const held = await this.#claimThese(queue, documents, now + lease);
            for (const { document, until } of held) {
              taken.push(new MongodbReservation(document, now, until));
            }
          }
          const keyed = await this.#returns.takeDead(next);
          this.noteDeadAt(keyed.nextAt);
          return [...taken, ...keyed.taken];
        } catch (error) {
          if (taken.length === 0) throw error;
          this.noteDeadAt(now); // the others are looked for again
          return taken;
        }
      },
    );
  }

  /** Gives back messages that were claimed and delivered to nobody. */
  async giveBack(taken: readonly MongodbReservation[]): Promise<void> {
    if (taken.length === 0) return;
    const { client, settings: { names } } = this.#context;
    await this.#context.callAgain(
      "give back messages",
      () =>
        client.update(
          names.messages,
          [
            ...taken.map((each) => releaseStatement(each, true)),
            ...this.#lanes.freeing(taken),
          ],
          { safe: false },
        ),
    );
  }
}

/** The result of {@linkcode Claims.look}. */
export interface Look {
  /** Queues with ready messages. */
  readonly ready: ReadonlySet<string>;
  /** When something else is due, the server's time. */
  readonly nextAt: number;
  /** Whether it saw everything. */
  readonly complete: boolean;
}

/** Makes the filter for all that an owner has claimed: a range of the index. */
function claimsOf(owner: string): Fields {
  // "/" comes right after ".".
  return { claim: { $gt: `${owner}.`, $lt: `${owner}/` } };
}

function claimPrefix(owner: string): string {
  return `${owner}.`;
}
