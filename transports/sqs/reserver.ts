import type { Clock } from "../../async/clock.ts";
import { ConnectionError, TimeoutError } from "../../model/errors.ts";
import type { SqsQueue } from "./queues.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { ReserveOptions } from "../store/store.ts";
import { notAnswered } from "../connection_errors.ts";
import type { CloseReason } from "../transport.ts";
import type { ReceivedMessage } from "./port.ts";
import { Widths } from "./widths.ts";

/** A receive that ends by itself so soon is waited for, when nobody wants it any more. */
const SOON = 2000;
/** Others are given a moment: messages that were put back just now come by them. */
const MOMENT = 100;
/** After an empty answer that came at once the next question waits so long, ms, and twice as long after each further one. */
const INITIAL_PAUSE = 50;
/** But no longer than this, ms. */
const MAX_PAUSE = 1000;
/** How much later than it ought to an answer may come from a server that is alive. */
const LATE = 1000;

/** The services and settings that receives have from their store. */
export interface ReserverSettings {
  readonly clock: Clock;
  readonly lifeline: Lifeline;
  /** How long received messages are ours, ms. */
  readonly lease: number;
  /** How much longer than it waits AWS may take to answer, ms. */
  readonly grace: number;
  /** Puts messages back in sight that nobody took. */
  giveBack(queue: SqsQueue, messages: readonly ReceivedMessage[]): void;
}

/** The messages of a receive, the time of the receive, and the time until which they are ours, on the clock. */
export interface Polled {
  readonly messages: readonly ReceivedMessage[];
  readonly receivedAt: number;
  readonly until: number;
}

/** Receives that are sent at once, and answered together. */
interface Poll {
  readonly queue: SqsQueue;
  readonly asks: Asks;
  /** When it ends by itself, on the clock. */
  readonly endsAt: number;
  /** Resolves when it has ended, well or not. */
  readonly ended: Promise<void>;
  /** The caller that waits for it now. */
  waiter: Waiter | undefined;
}

interface Asks {
  /** How many requests there are. */
  readonly count: number;
  /** How many messages each asks for, at most. */
  readonly limit: number;
  /** How long each waits for a message, ms. */
  readonly wait: number;
}

interface Waiter {
  resolve(polled: Polled): void;
  reject(error: unknown): void;
}

/**
 * Receives. A request that was sent cannot be called back: SQS may hand messages to
 * it after we have hung up, and they are out of sight until their time is over. So a
 * receive that nobody waits for any more goes on, and the next one for its queue takes
 * it over; what comes without anybody waiting is given back at once.
 */
export class Reserver {
  readonly #settings: ReserverSettings;
  /** The receives of consumers, by queue. */
  readonly #kept = new Map<string, Poll>();
  readonly #all = new Set<Poll>();
  readonly #widths = new Widths();
  /** The pauses before the next question, by queue: of those whose server does not wait. */
  readonly #pauses = new Map<string, number>();

  /** Makes one that has not asked yet. */
  constructor(settings: ReserverSettings) {
    this.#settings = settings;
    settings.lifeline.onEnd((reason) => this.#close(reason));
  }

  /** Receives up to `limit` messages; waits up to `wait` ms for the first. */
  receive(
    queue: SqsQueue,
    limit: number,
    options: ReserveOptions,
  ): Promise<Polled> {
    const poll = this.#start(queue, { count: 1, limit, wait: options.wait });
    return this.#waitFor(poll, limit, options);
  }

  /**
   * As `receive`, but takes over a receive for the queue that is under way and that nobody
   * wants. A FIFO queue is asked for one message with each request: SQS keeps back the
   * others of its group until it is settled.
   */
  keepReceiving(
    queue: SqsQueue,
    limit: number,
    options: ReserveOptions,
  ): Promise<Polled> {
    const kept = this.#kept.get(queue.queue);
    if (kept !== undefined && kept.waiter === undefined) {
      return this.#waitFor(kept, limit, options);
    }
    const poll = this.#start(queue, this.#asksOf(queue, limit, options.wait));
    this.#kept.set(queue.queue, poll);
    return this.#waitFor(poll, limit, options);
  }

  #asksOf({ queue, fifo }: SqsQueue, limit: number, wait: number): Asks {
    if (!fifo) return { count: 1, limit, wait };
    const count = Math.min(limit, this.#widths.of(queue));
    // Who asks for several hands none of them over before all are answered.
    return { count, limit: 1, wait: count > 1 ? 0 : wait };
  }

  #waitFor(
    poll: Poll,
    limit: number,
    options: ReserveOptions,
  ): Promise<Polled> {
    const { queue } = poll;
    return new Promise((resolve, reject) => {
      const unwatch = this.#settings.lifeline.limits.watch(
        options,
        (stopped) => {
          poll.waiter = undefined;
          reject(
            stopped === undefined
              ? notAnswered(
                `receive from queue "${queue.queue}"`,
                "unknown",
                "AWS",
              )
              : stopped.aborted,
          );
        },
      );
      poll.waiter = {
        resolve: (polled) => {
          unwatch();
          // It may have asked for more, for a former caller.
          this.#settings.giveBack(queue, polled.messages.slice(limit));
          resolve({ ...polled, messages: polled.messages.slice(0, limit) });
        },
        reject: (error) => {
          unwatch();
          reject(error);
        },
      };
    });
  }

  /**
   * Waits a little for receives of a queue, or of all, that nobody waits for, to end by
   * themselves.
   */
  async windUp(queue?: string): Promise<void> {
    const { clock } = this.#settings;
    const idle = [...this.#all].filter((poll) =>
      poll.waiter === undefined &&
      (queue === undefined || poll.queue.queue === queue)
    );
    if (idle.length === 0) return;
    const now = clock.now();
    const patience = Math.max(
      ...idle.map(({ endsAt }) =>
        endsAt - now <= SOON ? Math.max(0, endsAt - now) + LATE : MOMENT
      ),
    );
    let stop: (() => void) | undefined;
    const late = new Promise<void>((resolve) => {
      stop = clock.timer(resolve, patience);
    });
    await Promise.race([late, Promise.all(idle.map(({ ended }) => ended))]);
    stop?.();
  }

  /** Tells all waiting callers that the connection is closed, or was lost. */
  #close(reason: CloseReason): void {
    const error = this.#settings.lifeline.endError("take messages", reason);
    for (const poll of this.#all) {
      const { waiter } = poll;
      poll.waiter = undefined;
      waiter?.reject(error);
    }
  }

  #start(queue: SqsQueue, asks: Asks): Poll {
    const { clock } = this.#settings;
    const { wait } = asks;
    const { promise, resolve } = Promise.withResolvers<void>();
    const pause = wait > 0 ? this.#pauses.get(queue.queue) ?? 0 : 0;
    const poll: Poll = {
      queue,
      asks,
      endsAt: clock.now() + pause + wait,
      waiter: undefined,
      ended: promise,
    };
    this.#all.add(poll);
    if (pause === 0) this.#ask(poll).then(resolve);
    else {
      this.#settings.lifeline.sleep(pause).then(() => {
        // Nobody wants it any more: then it need not be asked.
        if (poll.waiter === undefined) return this.#end(poll);
        return this.#ask(poll);
      }).then(resolve);
    }
    return poll;
  }

  /** Never rejects. */
  async #ask(poll: Poll): Promise<void> {
    const { clock, lease, grace } = this.#settings;
    const { queue, asks: { count, limit, wait } } = poll;
    const began = clock.now();
    const deadline = began + wait + grace;
    const settings = { limit, wait: wait / 1000, lease: lease / 1000 };
    let first: number | undefined;
    const answers = await Promise.allSettled(
      Array.from({ length: count }, async () => {
        const receiving = queue.client.receive(queue.url, settings, {
          deadline,
        });
        const messages = await receiving;
        first ??= clock.now();
        return messages;
      }),
    );
    const messages: ReceivedMessage[] = [];
    let failure: { readonly reason: unknown } | undefined;
    for (const answer of answers) {
      if (answer.status === "fulfilled") messages.push(...answer.value);
      // Of several, some may be too many for AWS: the one that is sent next tells.
      else if (count === 1 || answer.reason instanceof TimeoutError) {
        failure = answer;
      }
    }
    const took = clock.now() - began;
    if (queue.fifo) {
      const got = messages.length;
      this.#widths.learn(queue.queue, { asked: count, got, took });
    }
    if (failure !== undefined) {
      this.#settings.giveBack(queue, messages);
      return this.#failed(poll, failure.reason);
    }
    if (wait > 0) {
      this.#brake(queue, messages.length === 0 && took < wait / 2);
    }
    this.#answered(poll, messages, first ?? began);
  }

  /** AWS waits before it says that there is nothing; others may not, and are not asked as fast as they answer. */
  #brake({ queue }: SqsQueue, early: boolean): void {
    if (!early) {
      this.#pauses.delete(queue);
      return;
    }
    const pause = (this.#pauses.get(queue) ?? INITIAL_PAUSE / 2) * 2;
    this.#pauses.set(queue, Math.min(pause, MAX_PAUSE));
  }

  #end(poll: Poll): void {
    this.#all.delete(poll);
    const { queue } = poll.queue;
    if (this.#kept.get(queue) === poll) this.#kept.delete(queue);
  }

  #answered(
    poll: Poll,
    messages: readonly ReceivedMessage[],
    receivedAt: number,
  ): void {
    this.#end(poll);
    const { lease, giveBack } = this.#settings;
    // The lease began when SQS answered: a tenth of it is for the way from there.
    const until = receivedAt + lease * 0.9;
    if (poll.waiter !== undefined) {
      poll.waiter.resolve({ messages, receivedAt, until });
    } else giveBack(poll.queue, messages);
  }

  #failed(poll: Poll, error: unknown): void {
    this.#end(poll);
    if (!(error instanceof TimeoutError)) return poll.waiter?.reject(error);
    const lost = new ConnectionError(
      `Connection to SQS was lost: a receive from queue "${poll.queue.queue}" is not answered`,
      { code: "connection-lost", cause: error },
    );
    poll.waiter?.reject(lost);
    this.#settings.lifeline.lose(lost);
  }
}
