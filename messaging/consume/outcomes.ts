import type { Clock } from "../../async/clock.ts";
import { AccessRefusedError, UnsupportedError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { isUnwritable } from "../../model/unwritable.ts";
import { mayPass } from "../connection/session_errors.ts";
import { failureHeaders } from "./failure_headers.ts";
import {
  ATTEMPTS_BY_DEFAULT,
  DEFAULT_RETRY,
  type NextAttempt,
  planAttempt,
} from "./handler_retry.ts";
import type { ReceivedMessage } from "./message.ts";
import { park } from "./parking.ts";
import type { Aftermath, OnFailure, RunOptions } from "./run_options.ts";
import { asError } from "../../model/error_text.ts";
import { Slot } from "./slot.ts";
import type { Teller } from "./teller.ts";

/** The services and settings of {@linkcode Outcomes}. */
export interface OutcomesHost<T> {
  readonly clock: Clock;
  readonly random: () => number;
  /** How long settlements are tried again, ms. */
  readonly patience: number;
  readonly teller: Teller<T>;
  /** The step of the broker's delays, ms: it waits for whole steps. */
  delayStep(): number;
  /** Secrets that no report may show, as the connection's password. */
  secrets(): readonly string[];
}

/** Between a settlement that failed and its next attempt, doubling, ms. */
const [INITIAL_DELAY, MAX_DELAY] = [50, 2000];

/** How often an ack is tried that fails for good: the fault may be the broker's, and over soon. */
const FEW_TRIES = 5;

/** How long a message that failed for good is kept before it goes back to its queue, ms: nobody is to be busy with nothing else. */
const REQUEUE_DELAY = 1000;

/** And one that could not be parked. */
const KEPT_DELAY = 10_000;

/** Says whether a message waits here, to be begun with again after `delay` ms. */
export type Rest<T> = (message: ReceivedMessage<T>, delay: number) => boolean;

/**
 * Carries out the outcomes of handlers: messages are acked, tried again, or given up. None
 * of its calls rejects.
 */
export class Outcomes<T> {
  readonly #host: OutcomesHost<T>;
  readonly #retry: RunOptions<T>["retry"];
  readonly #onFailure: OnFailure;
  /** Lets go of the messages that wait here. */
  readonly #held = new Set<() => void>();
  /** Messages on their way back, for which no handler waits. */
  readonly #goingBack = new Set<Promise<void>>();
  /** Lets a message wait here that must not go back; where there is none they may. */
  readonly #rest: Rest<T> | undefined;
  #draining = false;

  /** Makes one for a run. */
  constructor(
    options: RunOptions<T>,
    host: OutcomesHost<T>,
    rest?: Rest<T>,
  ) {
    this.#host = host;
    this.#rest = rest;
    this.#retry = options.retry;
    this.#onFailure = options.onFailure ?? "park";
  }

  /** Whether the run ends: nothing waits any more. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Nothing waits any more. */
  drain(): void {
    this.#draining = true;
    for (const release of [...this.#held]) release();
  }

  /** Resolves when the messages that go back have gone. */
  async idle(): Promise<void> {
    await Promise.all(this.#goingBack);
  }

  /** Acks, once more. */
  async ackAgain(
    message: ReceivedMessage<T>,
    failure: unknown,
  ): Promise<void> {
    this.tell(message, failure);
    if (message.settled) return;
    const ack = () => message.ack();
    const left = await this.persist(message, ack, failure, FEW_TRIES);
    if (left !== undefined) await this.letGo(message);
  }

  /** Says whether its handler is to be called again, here and now. */
  async failed(
    message: ReceivedMessage<T>,
    error: unknown,
    slot: Slot,
  ): Promise<boolean> {
    const isOurs = !message.settled;
    const next = isOurs ? this.#plan(message, error) : undefined;
    this.#host.teller.failed(error, message, this.#after(message, next));
    if (message.autoAcked) this.#event("dropped", message, asError(error));
    if (!isOurs || message.settled) return false;
    if (next !== undefined) {
      if (this.#rest?.(message, next.delay)) {
        message.callAgain(next.attempt);
        return false;
      }
      if (message.isOfStream) {
        slot.keep();
        return await this.#waitHere(message, next);
      }
      const failure = await this.#again(message, next, asError(error));
      if (failure === undefined) return false;
      // Nobody has asked for a retry that is written again: a user without the right to publish has it all the same.
      if (
        this.#retry === undefined && failure instanceof AccessRefusedError &&
        slot.keep()
      ) return await this.#waitHere(message, next);
      // A final error would come again the next time, and the count must hold.
      if (mayPass(failure)) {
        await this.letGo(message);
        return false;
      }
    }
    await this.giveUp(message, asError(error));
    return false;
  }

  /** A loop's schema refuses it; `onInvalid` has settled it, or left it. */
  async refused(
    message: ReceivedMessage<T>,
    error: Error,
    isAsked: boolean,
  ): Promise<void> {
    if (!isAsked) {
      const type = message.autoAcked ? "drop" : "park";
      this.#host.teller.failed(error, message, { type });
      if (message.autoAcked) this.#event("dropped", message, error);
    }
    if (message.settled) return;
    message.refuse(error);
    await this.giveUp(message, error);
  }

  /** A middleware has failed for it before a loop was handed it: it is tried again as by a handler. */
  async failedBefore(
    message: ReceivedMessage<T>,
    error: Error,
  ): Promise<void> {
    const slot = new Slot(this.#host.clock, () => {});
    const isHere = await this.failed(message, error, slot);
    slot.keep();
    if (isHere) await this.letGo(message);
  }

  /** It is tried no more. */
  async giveUp(
    message: ReceivedMessage<T>,
    error: Error,
    attempts: number = message.calls,
  ): Promise<void> {
    switch (this.#onFailure) {
      case "park": {
        const { clock, teller } = this.#host;
        const host = {
          wall: () => clock.wall(),
          secrets: () => this.#host.secrets(),
          event: teller.event.bind(teller),
        };
        const parking = () => park(message, error, attempts, host);
        let failure = await this.persist(message, parking, undefined, 1);
        // A user without the right to park it will not have it a moment later.
        if (failure !== undefined && !(failure instanceof AccessRefusedError)) {
          failure = await this.persist(message, parking, failure, FEW_TRIES);
        }
        if (failure === undefined) return;
        return this.#goBack(message, mayPass(failure) ? 0 : KEPT_DELAY);
      }
      case "reject": {
        const rejecting = () => message.reject();
        if (await this.#settledBy(message, rejecting)) {
          this.#event("rejected", message, error);
        }
        return;
      }
      case "drop": {
        const acking = () => message.ack();
        if (await this.#settledBy(message, acking)) {
          this.#event("dropped", message, error);
        }
        return;
      }
      case "requeue":
        this.#goBack(message, REQUEUE_DELAY);
    }
  }

  /** It goes back as it is. If that fails too, its channel gives it back in time. */
  async letGo(message: ReceivedMessage<T>): Promise<void> {
    await message.requeue().catch(() => {});
  }

  /** Tells of a failure of which nothing becomes: it is seen to. */
  tell(message: ReceivedMessage<T>, error: unknown): void {
    this.#host.teller.failed(error, message);
  }

  /**
   * Settles, and tries again while the message is ours and there is patience; what fails
   * for good not more often than `tries`.
   *
   * @returns The error that it failed with in the end; `undefined` if it is settled, or no longer ours.
   */
  async persist(
    message: ReceivedMessage<T>,
    settle: () => Promise<void>,
    before?: unknown,
    tries: number = Infinity,
  ): Promise<unknown> {
    const { clock, patience } = this.#host;
    const until = clock.now() + patience;
    let [last, final] = [before, 0];
    for (let delay = INITIAL_DELAY;; delay = Math.min(2 * delay, MAX_DELAY)) {
      if (last !== undefined) {
        if (!mayPass(last) && ++final >= tries) return last;
        if (this.#draining || clock.now() + delay > until) return last;
        await this.wait(delay);
      }
      // A message that is no longer ours is delivered again by itself.
      if (!message.isOpen) return undefined;
      try {
        return await settle();
      } catch (failure) {
        if (!message.isOpen) return undefined;
        this.tell(message, failure);
        last = failure;
      }
    }
  }

  /** Waits here, unless the run is about to end. */
  wait(delay: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const held = this.#held;
      const stop = this.#host.clock.timer(release, this.#draining ? 0 : delay);
      function release(): void {
        stop();
        held.delete(release);
        resolve();
      }
      held.add(release);
    });
  }

  /** Which attempt is next; `undefined` if there is none. */
  #plan(
    message: ReceivedMessage<T>,
    error: unknown,
  ): NextAttempt | undefined {
    // A message that cannot be read will not be readable later.
    if (this.#retry === false || message.isUnreadable(error)) return undefined;
    try {
      const policy = this.#retry ?? DEFAULT_RETRY;
      return planAttempt(policy, message, this.#host.random());
    } catch (failure) {
      this.tell(message, failure);
      return undefined;
    }
  }

  /** Returns the fate of the message, as far as it is known before. */
  #after(
    message: ReceivedMessage<T>,
    next: NextAttempt | undefined,
  ): Aftermath | undefined {
    if (message.autoAcked) return { type: "drop" };
    if (message.settled) return undefined;
    if (next === undefined) return { type: this.#onFailure };
    const { attempt } = next;
    const isHere = this.#rest !== undefined || message.isOfStream ||
      next.byBroker;
    const step = isHere ? 1 : this.#host.delayStep();
    const delay = Math.ceil(next.delay / step) * step;
    const { attempts = ATTEMPTS_BY_DEFAULT } = this.#retry || DEFAULT_RETRY;
    return { type: "retry", delay, attempt, attempts };
  }

  /** Writes it again, for later; returns what that failed with, in the end. */
  async #again(
    message: ReceivedMessage<T>,
    { delay, headers, attempt, byBroker }: NextAttempt,
    error: Error,
  ): Promise<unknown> {
    if (byBroker) {
      const failing = () => message.failedHere(attempt, error);
      return await this.persist(message, failing, undefined, 1);
    }
    const { clock, secrets } = this.#host;
    const why = failureHeaders(error, clock.wall(), secrets());
    const told: FieldTable = { ...headers, ...why };
    const later = (delay: number) => async () => {
      try {
        await message.requeueLater(delay, told, attempt, error);
      } catch (failure) {
        if (message.settled || !isUnwritable(failure)) throw failure;
        // There is no room for the headers of the error.
        await message.requeueLater(delay, headers, attempt, error);
      }
    };
    const failure = await this.persist(message, later(delay), undefined, 1);
    if (delay === 0 || !(failure instanceof UnsupportedError)) return failure;
    // The broker cannot wait so long, or not with this message: it waits here.
    await this.wait(delay);
    return await this.persist(message, later(0), undefined, 1);
  }

  /** Waits here, in the handler's place; says whether it may be called then. */
  async #waitHere(
    message: ReceivedMessage<T>,
    { delay, attempt }: NextAttempt,
  ): Promise<boolean> {
    await this.wait(delay);
    if (message.isOpen && !this.#draining) {
      message.callAgain(attempt);
      return true;
    }
    await this.letGo(message);
    return false;
  }

  /** It goes back after a while; others are handled meanwhile. */
  #goBack(message: ReceivedMessage<T>, delay: number): void {
    if (!this.#rest?.(message, delay)) this.goBack(message, delay);
  }

  /** It goes back, at the latest when the run ends. */
  goBack(message: ReceivedMessage<T>, delay: number): void {
    const going: Promise<void> = this.wait(delay)
      .then(() => this.letGo(message))
      .finally(() => this.#goingBack.delete(going));
    this.#goingBack.add(going);
  }

  /** Says whether a settlement has succeeded; a message that it fails for goes back. */
  async #settledBy(
    message: ReceivedMessage<T>,
    settle: () => Promise<void>,
  ): Promise<boolean> {
    const failure = await this.persist(message, settle, undefined, FEW_TRIES);
    if (failure === undefined) return message.settled;
    await this.letGo(message);
    return false;
  }

  #event(
    type: "dropped" | "rejected",
    message: ReceivedMessage<T>,
    error: Error,
  ): void {
    const { properties: { messageId }, deliveryInfo: { queue } } = message;
    this.#host.teller.event({ type, queue, messageId, error });
  }
}
