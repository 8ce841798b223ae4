import { MessagingError } from "../../model/errors.ts";
import type { Tables } from "../records/tables.ts";
import type {
  QueueNotifier,
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
} from "../store/store.ts";
import {
  type NatsMessage,
  type NatsSubscription,
  statusOf,
} from "./answers.ts";
import type { NatsContext } from "./context.ts";
import { PermissionError, translate } from "./errors.ts";
import { NANO, type NatsQueue, type Queues } from "./queues.ts";
import { NatsReservation } from "./reservation.ts";
import type { Settlements } from "./settlements.ts";

/** How long one request of a waiting connection waits at the server at most, ms. */
export const WAIT = 10_000;

/** How long after its time an answer is missed, ms. */
const UNHEARD = 3000;

/** How long a request that does not wait waits after all, where there is nothing: JetStream confirms a message a moment before its consumer has it, ms. */
const MOMENT = 10;

/** After what time a queue is looked at again that failed, ms. */
const AGAIN = 1000;

/** What a reserver uses of its connection. */
export interface ReserverContext extends NatsContext {
  readonly tables: Tables;
  readonly queues: Queues;
  readonly settlements: Settlements;
  /** How long one request waits at the server, ms. */
  readonly wait: number;
  /** Somebody listens, or nobody does any more. */
  onListening(isOn: boolean): void;
  /** Expired messages that nobody has asked for. */
  takeExpired(): readonly NatsReservation[];
}

/** What a queue had: no `taken` and no `error` is one that was deleted. */
interface Taken {
  readonly queue: string;
  readonly taken?: readonly NatsReservation[] | undefined;
  readonly error?: MessagingError;
}

/** A request for messages, as JetStream reads it; `expires` in nanoseconds. */
type Pull = {
  readonly batch: number;
  readonly no_wait?: true;
  readonly expires?: number;
};

type OnNews = (queue: string) => void;

/** A queue that is listened to: while it is empty, one request for its next message waits at the server. */
interface Listening {
  readonly listeners: OnNews[];
  /** The request, and what it brought. */
  waiting: NatsSubscription | undefined;
  /** No longer watches for its end. */
  stop?: () => void;
  readonly taken: NatsReservation[];
}

/** Takes messages by requests to the queues' consumers, and waits for them. */
export class Reserver implements QueueNotifier {
  readonly #context: ReserverContext;
  readonly #listening = new Map<string, Listening>();
  /** Messages on their way back, and requests that nobody waits for. */
  readonly #late = new Set<Promise<unknown>>();
  /** Queues that are asked, and whose servers have not answered. */
  readonly #unanswered = new Set<string>();
  #isClosed = false;

  /** Makes one that has not asked yet. */
  constructor(context: ReserverContext) {
    this.#context = context;
  }

  listen(queue: string, onNews: OnNews): () => void {
    let listening = this.#listening.get(queue);
    if (listening === undefined) {
      listening = { listeners: [], waiting: undefined, taken: [] };
      this.#listening.set(queue, listening);
      if (this.#listening.size === 1) this.#context.onListening(true);
    }
    const { listeners } = listening;
    listeners.push(onNews);
    return () => {
      const index = listeners.indexOf(onNews);
      if (index < 0) return;
      listeners.splice(index, 1);
      if (listeners.length > 0) this.#tell(queue);
      else this.#stop(queue);
    };
  }

  /** Tells the next listener of a queue that there may be something. */
  #tell(queue: string): void {
    const listeners = this.#listening.get(queue)?.listeners;
    const next = listeners?.shift();
    if (next === undefined) return;
    listeners?.push(next);
    next(queue);
  }

  /** Tells anybody at all. */
  tellAny(): void {
    for (const queue of this.#listening.keys()) return this.#tell(queue);
  }

  /** Takes what is there. */
  async reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const { lifeline, settlements } = this.#context;
    const refusal = lifeline.refusal("take messages", options);
    if (refusal !== undefined) throw refusal;
    const expired = this.#context.takeExpired();
    const taking = Promise.all(wants.map((want) => this.#takeOf(want)));
    const giveBack = () =>
      this.#later(taking.then((all) =>
        settlements.settle(
          [...expired, ...all.flatMap(({ taken = [] }) => taken)],
          "-NAK",
        )
      ));
    try {
      const all = await lifeline.wait("take messages", options, taking);
      const failed = new Map<string, Error>();
      for (const { queue, error } of all) {
        if (error === undefined) continue;
        // Other queues are none the worse for it; that one is looked at again.
        if (!error.retryable) failed.set(queue, error);
        else if (all.every((each) => each.error?.retryable)) throw error;
        else this.#after(AGAIN, () => this.#tell(queue));
      }
      return {
        reservations: [...expired, ...all.flatMap(({ taken = [] }) => taken)],
        missing: all.filter((each) => !each.error && !each.taken)
          .map(({ queue }) => queue),
        failed,
      };
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Takes from one of several queues; one whose server is away is not waited for. */
  async #takeOf(want: ReserveWant): Promise<Taken> {
    const { queue } = want;
    if (this.#unanswered.has(queue)) return { queue, taken: [] };
    const taking = this.take(want).then(
      (taken) => ({ queue, taken }),
      (thrown) => {
        const error = translate("take messages", thrown);
        if (!(error instanceof MessagingError)) throw error;
        return { queue, error };
      },
    );
    if (!this.#context.client.isRelayed) return await taking;
    return await new Promise((resolve, reject) => {
      let isLate = false;
      const stop = this.#after(2 * UNHEARD, () => {
        isLate = true;
        this.#unanswered.add(queue);
        resolve({ queue, taken: [] });
      });
      taking.then((answer: Taken) => {
        stop();
        resolve(answer);
        if (!isLate) return;
        this.#unanswered.delete(queue);
        const { settlements } = this.#context;
        this.#later(settlements.settle(answer.taken ?? [], "-NAK"));
        this.#tell(queue);
      }).catch((error) => {
        this.#unanswered.delete(queue);
        reject(error);
      });
    });
  }

  /** Takes from one queue; `undefined`: it was deleted. */
  async take(
    { queue, limit }: ReserveWant,
  ): Promise<readonly NatsReservation[] | undefined> {
    const { queues } = this.#context;
    const listening = this.#listening.get(queue);
    const taken = listening?.taken.splice(0, limit) ?? [];
    // Where a request waits there is nothing.
    if (taken.length === 0 && listening?.waiting !== undefined) return [];
    let mayWait = listening === undefined;
    for (let tries = 0; taken.length < limit; tries++) {
      const found = await queues.find(queue);
      if (found === undefined) return taken.length > 0 ? taken : undefined;
      const batch = limit - taken.length;
      let received = await this.#pull(found, { batch, no_wait: true });
      if (received?.length === 0 && mayWait) {
        mayWait = false;
        const expires = MOMENT * NANO;
        received = await this.#pull(found, { batch, expires });
      }
      if (received === undefined) {
        // The stream or its consumer is not there: it was deleted, or is to be made anew.
        queues.forget(queue);
        if (tries > 3) return undefined;
        continue;
      }
      const kept = this.#keep(found, received);
      taken.push(...kept);
      // All may have expired: then there may be more.
      if (received.length === 0 || kept.length > 0) break;
    }
    if (taken.length === 0) await this.#wait(queue);
    return taken;
  }

  /** Asks for what is there; `undefined`: there is no such consumer. */
  #pull(
    { stream, consumer }: NatsQueue,
    body: Pull,
  ): Promise<readonly NatsMessage[] | undefined> {
    const { client } = this.#context;
    const { batch } = body;
    const verb = `CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    const received: NatsMessage[] = [];
    return client.whileOpen(
      new Promise((resolve, reject) => {
        const done = (result: readonly NatsMessage[] | undefined) => {
          stop?.();
          subscription.unsubscribe();
          resolve(result);
        };
        let isOver = false;
        // The server that had the request may be gone.
        const stop = client.isRelayed
          ? this.#after(UNHEARD, () => {
            isOver = true;
            resolve(received);
          })
          : undefined;
        const subscription = client.ask(verb, body, (message) => {
          if (isOver) return this.#giveBack(message, subscription);
          if (message instanceof PermissionError) {
            stop?.();
            subscription.unsubscribe();
            return reject(message);
          }
          const code = statusOf(message);
          if (code === 0) {
            if (received.push(message) >= batch) done(received);
          } else if (code === 503) done(undefined);
          else if (code >= 400) done(received);
        });
      }),
    );
  }

  /** Lets a request wait at the server, if somebody listens. */
  async #wait(queue: string): Promise<void> {
    const { client, queues } = this.#context;
    const listening = this.#listening.get(queue);
    if (listening === undefined || listening.waiting !== undefined) return;
    const found = await queues.find(queue);
    if (this.#listening.get(queue) !== listening || this.#isClosed) return;
    if (listening.waiting !== undefined) return;
    if (found === undefined) return this.#tell(queue);
    // Who waits at one server of several asks another before long: that may have left.
    const wait = client.isRelayed
      ? Math.min(this.#context.wait, UNHEARD)
      : this.#context.wait;
    let isOver = false;
    const stop = this.#after(wait + UNHEARD, () => {
      isOver = true;
      listening.waiting = undefined;
      this.#tell(queue);
    });
    const subscription = listening.waiting = client.ask(
      `CONSUMER.MSG.NEXT.${found.stream}.${found.consumer}`,
      { batch: 1, expires: wait * NANO },
      (message) => {
        if (isOver) return this.#giveBack(message, subscription);
        const code = message instanceof PermissionError
          ? 403
          : statusOf(message);
        if (code === 100) return;
        if (code === 0 && !(message instanceof PermissionError)) {
          const [taken] = this.#keep(found, [message]);
          if (taken !== undefined) listening.taken.push(taken);
        } else if (code === 503 || code === 409) queues.forget(queue);
        stop();
        if (listening.waiting !== subscription) return; // it was called off
        listening.waiting = undefined;
        subscription.unsubscribe();
        this.#tell(queue);
      },
    );
    listening.stop = stop;
  }

  /** Gives back what comes when it is no longer waited for, as of a server that was away. */
  #giveBack(
    message: NatsMessage | PermissionError,
    subscription: NatsSubscription,
  ): void {
    if (message instanceof PermissionError) return;
    const code = statusOf(message);
    if (code === 0) this.#context.client.publish(message.reply ?? "", "-NAK");
    else if (code !== 100) subscription.unsubscribe();
  }

  /** Calls back after so many ms, unless it is called off, or the connection ends. */
  #after(delay: number, callback: () => void): () => void {
    const { clock, lifeline } = this.#context;
    const stop = clock.timer(() => {
      forget();
      callback();
    }, delay);
    const forget = lifeline.onEnd(stop);
    return () => {
      stop();
      forget();
    };
  }

  /** Calls the request of a queue off; what it brings meanwhile goes back. */
  #stop(queue: string): void {
    const listening = this.#listening.get(queue);
    if (listening === undefined) return;
    this.#listening.delete(queue);
    if (this.#listening.size === 0) this.#context.onListening(false);
    const { waiting, taken } = listening;
    listening.stop?.();
    listening.waiting = undefined;
    this.#later((async () => {
      await waiting?.drain().catch(() => {});
      if (taken.length === 0) return;
      await this.#context.settlements.settle(taken.splice(0), "-NAK");
    })());
  }

  /** Holds messages that came; those that have expired, and go nowhere, are gone. */
  #keep(
    from: NatsQueue,
    received: readonly NatsMessage[],
  ): readonly NatsReservation[] {
    const { client, clock, settings, settlements, tables } = this.#context;
    const times = {
      now: client.now(),
      // The server counts from when it sent them.
      until: clock.now() + settings.lease - onTheWay(settings.lease),
    };
    const kept: NatsReservation[] = [];
    const over: Reservation[] = [];
    for (const message of received) {
      const reservation = new NatsReservation(from, message, times);
      settlements.hold(reservation);
      if (reservation.expired && !tables.traits(from.name).deadLetters) {
        over.push(reservation);
      } else kept.push(reservation);
    }
    if (over.length > 0) this.#later(settlements.settle(over, "+ACK"));
    return kept;
  }

  #later(work: Promise<unknown>): void {
    const done: Promise<void> = work.catch(() => {})
      .then(() => void this.#late.delete(done));
    this.#late.add(done);
  }

  /** Waits until what nobody waits for is done. */
  async settled(): Promise<void> {
    await Promise.all(this.#late);
  }

  /** Calls all requests off. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const queue of [...this.#listening.keys()]) this.#stop(queue);
    await this.settled();
  }
}

/** So long, ms, a message may be on its way here, and in a busy process: less than what two renewals that fail leave. */
function onTheWay(lease: number): number {
  return Math.min(lease / 8, 2000);
}
