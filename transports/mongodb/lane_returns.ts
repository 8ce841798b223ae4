import type { Publishing } from "../../model/message.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { ReleaseOptions } from "../store/store.ts";
import type { Context } from "./context.ts";
import {
  HIDDEN_FIELDS,
  hiddenName,
  isPast,
  keyPlace,
  visibleName,
} from "./documents.ts";
import { laneOf, OUT, PLACE_FIELDS, restoring } from "./lane_documents.ts";
import type { Lanes } from "./lanes.ts";
import type { Fields, UpdateStatement } from "./port.ts";
import { MongodbReservation, releaseStatement } from "./reservation.ts";

/** The maximum number of documents that one look returns. */
const MAX = 500;
/** The maximum number of dead letters that one look finds. */
export const DEAD_COUNT = 100;

/** The ways of messages of ordered queues that were taken and not settled. */
export class LaneReturns {
  readonly #context: Context;
  readonly #lanes: Lanes;
  readonly #writer = new EnvelopeWriter();

  /** Makes it for one connection. */
  constructor(context: Context, lanes: Lanes) {
    this.#context = context;
    this.#lanes = lanes;
  }

  /** Makes the statements that put messages of ordered queues back with other headers, or later. */
  again(
    held: readonly MongodbReservation[],
    { delay = 0, headers }: ReleaseOptions,
  ): UpdateStatement[] {
    const due = this.#context.now() + delay;
    const later = delay > 0;
    const messages = held.map((each): UpdateStatement => {
      const { filter, update } = releaseStatement(each, false);
      const { message, lane } = each;
      const rewritten = "error" in message || headers === undefined
        ? undefined
        : this.#writer.write(
          withHeaders(message, headers),
          crypto.randomUUID(),
        );
      // Later it has hidden times, as it has now.
      const set = !later
        ? Object(update.$set)
        : lane !== undefined
        ? { priority: OUT, payload: each.marked }
        : {
          queue: hiddenName(each.queue, "delayed"),
          priority: due,
          payload: each.marked,
        };
      return {
        filter,
        update: {
          $set: {
            ...set,
            ...(rewritten === undefined ? {} : { payload: rewritten }),
          },
          $unset: {
            ...(later ? HOLDERS : HIDDEN_FIELDS),
            ...(rewritten === undefined ? {} : { deliveries: "" }),
          },
        },
      };
    });
    const keys = this.#lanes.freeing(held).map((each) =>
      !later ? each : {
        ...each,
        update: {
          ...each.update,
          // Nobody has it: it comes back when it is due.
          $set: { priority: due },
        },
      }
    );
    return [...messages, ...keys];
  }

  /** Brings back keys that wait or are held, and whose time is over. */
  async restoreKeys(filter: Fields): Promise<void> {
    const { client, settings: { names } } = this.#context;
    for (;;) {
      const due = await this.#call(
        "give back messages",
        () => client.find(names.messages, filter, { limit: MAX }),
      );
      const restored = await this.#restoreKeys(due);
      if (due.length < MAX || restored === 0) return;
    }
  }

  /** Only who holds a key may touch its messages: it is taken over first. Returns how many were. */
  async #restoreKeys(due: readonly Fields[]): Promise<number> {
    if (due.length === 0) return 0;
    const { client, settings: { names, lease } } = this.#context;
    const mine = this.#lanes.nextHolder();
    const until = this.#context.now() + lease;
    await this.#lanes.update(
      "give back messages",
      due.map(({ _id, queue, priority, holder = null }) => ({
        filter: { _id, queue, priority, holder },
        update: { $set: { holder: mine, priority: until } },
      })),
    );
    const keys = await this.#context.callAgain(
      "give back messages",
      () => client.find(names.messages, { holder: mine }, {}),
    );
    if (keys.length === 0) return 0;
    const places = keys.map(({ queue, key }) =>
      keyPlace(visibleName(String(queue)), String(key))
    );
    const out = await this.#context.callAgain(
      "give back messages",
      () =>
        client.find(
          names.messages,
          { queue: { $in: places }, priority: OUT },
          {},
        ),
    );
    await this.#lanes.pass(
      [
        ...out.map(restoring),
        ...keys.map(({ _id, queue }) =>
          this.#lanes.passing({ _id, holder: mine }, visibleName(String(queue)))
        ),
      ],
    );
    return keys.length;
  }

  /** Gives back what an owner holds, and lets the keys stand of what it put. */
  async restoreOwner(owner: string): Promise<void> {
    if (!this.#lanes.isUsed) return;
    await this.#lanes.open();
    const { client, settings: { names } } = this.#context;
    // "/" comes right after ".".
    const holder = { $gt: `${owner}.`, $lt: `${owner}/` };
    await this.restoreKeys({ holder, puts: { $gt: 0 } });
    for (;;) {
      const left = await this.#call(
        "give back messages",
        () =>
          client.find(names.messages, { holder, place: { $gt: 0 } }, {
            limit: MAX,
          }),
      );
      if (left.length === 0) return;
      await this.#lanes.stand(left.map(laneOf));
      const matched = await this.#lanes.update(
        "give back messages",
        left.map(restoring),
      );
      if (left.length < MAX || matched === 0) return;
    }
  }

  /** Takes out of their keys what is to be dead-lettered: of any queue, wherever it is; and says when there is more, if it looked so far. */
  async takeDead(
    until: number,
  ): Promise<
    { readonly taken: readonly MongodbReservation[]; readonly nextAt: number }
  > {
    if (!this.#lanes.isUsed) return NONE_DEAD;
    await this.#lanes.open();
    const { client, settings: { names, lease } } = this.#context;
    return await this.#call("look for dead letters", async () => {
      const now = await this.#context.freshNow();
      const soon = await client.find(
        names.messages,
        { dies_at: { $lte: new Date(until) } },
        {
          sort: { dies_at: 1 },
          limit: DEAD_COUNT,
          projection: { queue: 1, key: 1, dies_at: 1 },
        },
      );
      const nextAt = nextAfter(soon, "dies_at", now);
      const dead = soon.filter((each) => isPast(each.dies_at, now));
      if (dead.length === 0) return { taken: [], nextAt };
      const claim = this.#lanes.nextHolder();
      const leased = now + lease;
      await client.update(
        names.messages,
        dead.map((document) => ({
          filter: { _id: document._id, dies_at: document.dies_at },
          update: {
            $set: {
              queue: hiddenName(laneOf(document).queue, "unacked"),
              priority: leased,
              claim,
            },
            $inc: { deliveries: 1 },
            $rename: {
              expire_at: "hidden_expire_at",
              dies_at: "hidden_dead_at",
            },
            $unset: PLACE_FIELDS,
          },
        })),
        { safe: false },
      );
      const found = await this.#context.callAgain(
        "look for dead letters",
        () => client.find(names.messages, { claim }, {}),
      );
      const taken = found.map((each) =>
        new MongodbReservation(each, now, leased)
      );
      return { taken, nextAt };
    });
  }

  #call<T>(action: string, call: () => Promise<T>): Promise<T> {
    return this.#context.call(action, undefined, call);
  }
}

const NONE_DEAD = { taken: [], nextAt: Infinity } as const;

/** Tells when there are further dead letters, of those that are the next. */
export function nextAfter(
  soon: readonly Fields[],
  name: string,
  now: number,
): number {
  const later = soon.find((each) => !isPast(each[name], now))?.[name];
  if (later instanceof Date) return later.getTime();
  return soon.length < DEAD_COUNT ? Infinity : now;
}

/** Who has it, but not until when it is hidden. */
const HOLDERS: Fields = { claim: "", holder: "" };

function withHeaders(
  message: Publishing,
  headers: NonNullable<ReleaseOptions["headers"]>,
): Publishing {
  return {
    ...message,
    properties: { ...message.properties, headers },
    republished: true,
  };
}
