import type { CallOptions } from "../../model/call_options.ts";
import { doubt, hasGoneBy, leaseLost } from "./doubted.ts";
import type { Reservation, Store } from "./store.ts";
import type { StoreSubscription } from "./subscription.ts";

/** A delivery that is to be settled. */
export interface Settling {
  readonly reservation: Reservation;
  /** The subscription whose prefetch the message counts against; `get` has none. */
  readonly subscription: StoreSubscription | undefined;
}

/** The store's verbs that settle. */
type Verb = "remove" | "release";

/** The receiver of the results of settlements. */
export interface SettlerHost<T extends Settling> {
  /** The store has answered: it is ours no more. */
  settled(held: T): void;
  /** The store has not taken it: it is ours still, as far as we know. */
  kept(held: T): void;
}

interface Batch<T> {
  readonly reservations: Reservation[];
  readonly held: T[];
  /** The promises that the callers were given. */
  readonly answers: Promise<void>[];
  readonly settled: Promise<readonly Reservation[]>;
  /** The latest of its calls, but for those with `options`. */
  deadline: number | undefined;
  /** Of its last calls. */
  options: CallOptions | undefined;
}

/** A batch leaves when nothing was added for so many rounds of the microtask queue: a `for await` needs a few for each message. */
const QUIET_ROUNDS = 4;

/** And when it has so many, where the store says nothing else. */
const MAX = 128;

/** Sends settlements in batches: those of one go of a loop leave in one call of the store. */
export class Settler<T extends Settling> {
  readonly #verb: Verb;
  readonly #send: (
    reservations: readonly Reservation[],
    options: CallOptions,
  ) => Promise<readonly Reservation[]>;
  readonly #host: SettlerHost<T>;
  readonly #max: number;
  #batch: Batch<T> | undefined;

  /** Makes a settler for one of the store's two verbs. */
  constructor(
    { messages, limits }: Pick<Store, "messages" | "limits">,
    verb: Verb,
    host: SettlerHost<T>,
  ) {
    this.#verb = verb;
    this.#max = limits.settleCount ?? MAX;
    this.#send = async (reservations, options) =>
      await messages[verb](reservations, options);
    this.#host = host;
  }

  /**
   * Settles a delivery with the next batch. The batch has the latest deadline of its
   * calls, and no signal: what one caller aborts is not undone for others. Its
   * subscription has room for one more as soon as the settlement is on its way, and not
   * before: the broker is never to see more than the prefetch unsettled.
   *
   * @param held The delivery to settle.
   * @param options The call's limits.
   */
  settle(held: T, options?: CallOptions): Promise<void> {
    const batch = this.#batch ?? this.#open();
    const { reservation } = held;
    batch.reservations.push(reservation);
    batch.held.push(held);
    // Many calls may share theirs, whose deadline is a look at the clock: one for them all.
    if (options !== batch.options) {
      extend(batch);
      batch.options = options;
    }
    const settling = batch.settled.then((lost) => {
      if (
        lost.length > 0 && lost.includes(reservation) &&
        !hasGoneBy(reservation, this.#verb)
      ) throw leaseLost(reservation);
    });
    batch.answers.push(settling);
    return settling;
  }

  #open(): Batch<T> {
    const batch: Batch<T> = {
      reservations: [],
      held: [],
      answers: [],
      settled: Promise.resolve().then(() => this.#sendSoon(batch)),
      deadline: undefined,
      options: undefined,
    };
    return this.#batch = batch;
  }

  async #sendSoon(batch: Batch<T>): Promise<readonly Reservation[]> {
    const { reservations, held } = batch;
    let seen = 0;
    for (let quiet = 0; quiet < QUIET_ROUNDS; quiet++) {
      if (reservations.length >= this.#max) break;
      if (reservations.length > seen) quiet = 0;
      seen = reservations.length;
      await undefined;
    }
    this.#batch = undefined;
    extend(batch);
    try {
      const sending = this.#send(reservations, { deadline: batch.deadline });
      for (const { subscription } of held) subscription?.free(1);
      const lost = await sending;
      for (const each of held) this.#host.settled(each);
      if (lost.length > 0) handle(batch.answers);
      return lost;
    } catch (error) {
      doubt(reservations, this.#verb, error);
      for (const each of held) this.#host.kept(each);
      handle(batch.answers);
      throw error;
    }
  }
}

/** Gives a batch the time that its last calls have. */
function extend<T>(batch: Batch<T>): void {
  const deadline = batch.options?.deadline;
  if (
    deadline !== undefined &&
    (batch.deadline === undefined || deadline > batch.deadline)
  ) batch.deadline = deadline;
}

/** A caller that does not await it gets no unhandled rejection: the message is settled later, or delivered again. */
function handle(answers: readonly Promise<void>[]): void {
  for (const each of answers) each.catch(ignore);
}

function ignore(): void {}
