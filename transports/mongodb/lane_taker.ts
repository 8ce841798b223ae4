import { keyOf } from "../../virtual/message_key.ts";
import type { ReserveWant } from "../store/store.ts";
import type { GiveBack } from "./claimed.ts";
import type { Context } from "./context.ts";
import {
  HIDDEN_FIELDS,
  hiddenName,
  isStale,
  keyPlace,
  visibleName,
} from "./documents.ts";
import { OUT, placeFields } from "./lane_documents.ts";
import type { Lanes } from "./lanes.ts";
import type { Fields } from "./port.ts";
import { MongodbReservation } from "./reservation.ts";

/** The messages of a key in order, and the keys of a queue. */
const IN_ORDER = { priority: 1, _id: 1 } as const;

/** The maximum number of keys that are claimed at once: a command each takes their messages, and leases must last for all. */
const AT_ONCE = 20;

/** Takes messages out of the queue itself, as out of any other. */
type TakePlain = (want: ReserveWant) => Promise<MongodbReservation[]>;

/** The turns that were taken. */
interface Turns {
  readonly held: readonly MongodbReservation[];
  /** The document of the messages without key, if it was their turn. */
  readonly keyless: Fields | undefined;
  /** Whether no other key had a turn. */
  readonly isAll: boolean;
}

/** Takes messages of ordered queues: the first of each key whose turn it is. */
export class LaneTaker {
  readonly #context: Context;
  readonly #lanes: Lanes;
  readonly #giveBack: GiveBack;

  /** Makes it for one connection. */
  constructor(context: Context, lanes: Lanes, giveBack: GiveBack) {
    this.#context = context;
    this.#lanes = lanes;
    this.#giveBack = giveBack;
  }

  /** Of each key whose turn it is the first message; those without key have one turn together. */
  async take(
    { queue, limit: wanted }: ReserveWant,
    takePlain: TakePlain,
  ): Promise<MongodbReservation[]> {
    const limit = Math.min(wanted, AT_ONCE);
    const held: MongodbReservation[] = [];
    try {
      for (;;) {
        const turns = await this.#takeKeyed(queue, limit - held.length);
        const { keyless, isAll } = turns;
        held.push(...turns.held);
        let isFiled = false;
        if (keyless !== undefined || (isAll && held.length < limit)) {
          // All further turns would be theirs.
          const most = isAll ? limit - held.length : 1;
          const taken = await this.#takeKeyless(
            { queue, limit: most },
            takePlain,
            keyless,
          );
          held.push(...taken.held);
          isFiled = taken.isFiled;
        }
        if (held.length >= limit || (isAll && !isFiled)) return held;
      }
    } catch (error) {
      await this.#giveBack(held);
      throw error;
    }
  }

  /** Takes messages of an ordered queue that have no key, and files the others; `turn` is theirs. */
  async #takeKeyless(
    want: ReserveWant,
    takePlain: TakePlain,
    turn: Fields | undefined,
  ): Promise<
    { readonly held: MongodbReservation[]; readonly isFiled: boolean }
  > {
    const held: MongodbReservation[] = [];
    const keyed: [MongodbReservation, string][] = [];
    let taken: readonly MongodbReservation[] | undefined;
    try {
      taken = await takePlain(want);
      for (const each of taken) {
        each.isOrdered = true;
        const { message, expired } = each;
        const key = "error" in message || expired
          ? undefined
          : keyOf(message.properties.headers);
        if (key === undefined) held.push(each);
        else keyed.push([each, key]);
      }
      if (keyed.length > 0) await this.#file(want.queue, keyed);
    } catch (error) {
      await this.#giveBack(taken ?? []);
      throw error;
    } finally {
      if (turn !== undefined) {
        await (taken?.length === 0 ? this.#drop([turn]) : this.#pass([turn]));
      }
    }
    return { held, isFiled: keyed.length > 0 };
  }

  /** Takes the first messages of the keys whose turn it is. */
  async #takeKeyed(queue: string, limit: number): Promise<Turns> {
    await this.#lanes.open();
    const { clock, settings: { lease } } = this.#context;
    const holder = this.#lanes.nextHolder();
    const began = clock.now();
    const until = this.#context.now() + lease;
    const { keys, isAll } = await this.#claimKeys(queue, limit, holder, until);
    let keyless: Fields | undefined;
    const held: MongodbReservation[] = [];
    const empty: Fields[] = [];
    const now = this.#context.now();
    const takings = await Promise.allSettled(keys.map(async (lane, index) => {
      if (lane.key === "") {
        keyless = lane;
        return;
      }
      const document = await this.#claimFirst(queue, lane, holder);
      if (document === undefined) empty.push(lane);
      else {
        held[index] = new MongodbReservation(document, now, until, {
          queue,
          id: lane._id,
        });
      }
    }));
    const failure = takings.find((each) => each.status === "rejected");
    if (failure !== undefined) {
      // Their messages are the first of them as before, for whoever takes the keys.
      await this.#pass(keys);
      throw failure.reason;
    }
    if (empty.length > 0) await this.#drop(empty);
    const found = held.filter((each) => each !== undefined);
    // Its keys are others' by now, perhaps with their messages.
    if (clock.now() - began >= lease) return { held: [], keyless, isAll };
    return { held: found, keyless, isAll };
  }

  async #claimKeys(
    queue: string,
    limit: number,
    holder: string,
    until: number,
  ): Promise<{ readonly keys: readonly Fields[]; readonly isAll: boolean }> {
    const { client, settings: { names } } = this.#context;
    const ring = hiddenName(queue, "ring");
    const update = {
      $set: { queue: hiddenName(queue, "busy"), priority: until, holder },
    };
    return await this.#call(
      `take messages of queue "${queue}"`,
      async () => {
        if (limit === 1) {
          const key = await client.claim(
            names.messages,
            { queue: ring },
            IN_ORDER,
            update,
          );
          return key === undefined
            ? { keys: [], isAll: true }
            : { keys: [key], isAll: false };
        }
        const seen = await client.find(names.messages, { queue: ring }, {
          sort: IN_ORDER,
          limit,
          projection: { _id: 1 },
        });
        const isAll = seen.length < limit;
        if (seen.length === 0) return { keys: [], isAll };
        const { matched } = await client.update(names.messages, [{
          filter: { _id: { $in: seen.map(({ _id }) => _id) }, queue: ring },
          update,
          many: true,
        }], { safe: false });
        if (matched === 0) return { keys: [], isAll };
        // They are ours by now, and would be so until their leases are over.
        const found = await this.#context.callAgain(
          `take messages of queue "${queue}"`,
          () => client.find(names.messages, { holder }, {}),
        );
        const places = new Map(seen.map(({ _id }, place) => [_id, place]));
        const placeOf = ({ _id }: Fields) => places.get(_id) ?? 0;
        return { keys: found.sort((a, b) => placeOf(a) - placeOf(b)), isAll };
      },
    );
  }

  /** Takes the first message of a key that is ours; what nobody wants to hear of is removed. */
  async #claimFirst(
    queue: string,
    { key }: Fields,
    holder: string,
  ): Promise<Fields | undefined> {
    const { client, settings: { names } } = this.#context;
    for (;;) {
      const document = await this.#call(
        `take a message of queue "${queue}"`,
        () =>
          client.claim(
            names.messages,
            { queue: keyPlace(queue, String(key)) },
            IN_ORDER,
            {
              $set: { holder },
              $min: { priority: OUT },
              $inc: { deliveries: 1 },
              $rename: {
                expire_at: "hidden_expire_at",
                dies_at: "hidden_dead_at",
              },
            },
          ),
      );
      if (document === undefined) return undefined;
      if (
        !isStale(document, this.#context.now()) ||
        !isStale(document, await this.#context.freshNow())
      ) return document;
      const { _id } = document;
      await this.#call(
        "remove expired messages",
        () => client.remove(names.messages, [{ _id, holder }]),
      );
    }
  }

  /** Removes keys that we hold and found empty; they have another turn if something was put. */
  async #drop(keys: readonly Fields[]): Promise<void> {
    const { client, settings: { names } } = this.#context;
    const removed = await this.#context.callAgain(
      "remove keys",
      () =>
        client.remove(
          names.messages,
          keys.map(({ _id, holder, puts }) => ({ _id, holder, puts })),
        ),
    );
    if (removed < keys.length) await this.#pass(keys);
  }

  /** Lets keys that we hold have another turn, after all others. */
  async #pass(keys: readonly Fields[]): Promise<void> {
    await this.#lanes.pass(
      keys.map(({ _id, holder, queue }) =>
        this.#lanes.passing({ _id, holder }, visibleName(String(queue)))
      ),
    );
  }

  /** Files messages that we claimed in the queue itself, though they have keys. */
  async #file(
    queue: string,
    held: readonly (readonly [MongodbReservation, string])[],
  ): Promise<void> {
    await this.#lanes.open();
    const holder = this.#lanes.nextHolder();
    const first = await this.#lanes.places(queue, held.length);
    await this.#lanes.update(
      "file messages",
      held.map(([{ id, claim, visible, deliveryCount }, key], index) => {
        const { dead_at, ...fields } = visible;
        const place = first + index;
        return {
          filter: { _id: id, claim },
          update: {
            $set: {
              ...fields,
              ...(dead_at === undefined ? {} : { dies_at: dead_at }),
              ...placeFields({ queue, key }, place, holder),
              deliveries: deliveryCount,
            },
            $unset: HIDDEN_FIELDS_BUT_HOLDER,
          },
        };
      }),
      true,
    );
    await this.#lanes.stand(held.map(([, key]) => ({ queue, key })), holder);
  }

  #call<T>(action: string, call: () => Promise<T>): Promise<T> {
    return this.#context.call(action, undefined, call);
  }
}

/** The holder is set by who files them. */
const { holder: _, ...HIDDEN_FIELDS_BUT_HOLDER } = HIDDEN_FIELDS;
