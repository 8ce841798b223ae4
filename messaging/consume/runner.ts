import type { Breaker } from "./breaker.ts";
import { turn } from "../../async/turn.ts";
import { mayPass } from "../connection/session_errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import {
  CALL,
  DEFAULT_RETRY,
  judge,
  neverEnded,
  type Verdict,
} from "./handler_retry.ts";
import { checkHandler } from "./checked.ts";
import { KeyOrder } from "./key_order.ts";
import type { ReceivedMessage } from "./message.ts";
import { Pace } from "./pace.ts";
import { Outcomes, type OutcomesHost } from "./outcomes.ts";
import { checkRun, type RunOptions } from "./run_options.ts";
import {
  type SharedCount,
  SharedPace,
  type SharedPaceCalls,
} from "./shared_pace.ts";
import { Slot } from "./slot.ts";
import { Suspects } from "./suspects.ts";
import { asError } from "../../model/error_text.ts";

/** The services that a runner has from its consumer. */
export interface RunnerHost<T> extends OutcomesHost<T> {
  /** A message that is there. */
  take(): ReceivedMessage<T> | undefined;
  /** The next message; `undefined` at the end. */
  next(): Promise<ReceivedMessage<T> | undefined>;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
  /** Calls back when no more messages come; returns a function that calls it off. */
  onEnd(callback: () => void): () => void;
  /** Whether no more messages come. */
  hasEnded(): boolean;
  /** Whether messages of one key are handled one after another. */
  readonly ordered?: boolean | undefined;
  cancel(): Promise<void>;
  /** A handler is called now; it has returned, with its promise perhaps. */
  calling(isCalling: boolean): void;
  /** How the broker counts messages for all processes; none where the process counts. */
  readonly shared?: SharedCount | undefined;
  /** Lets messages begin, or makes them wait; none without a circuit breaker. */
  readonly breaker?: Pick<Breaker, "place"> | undefined;
}

/** How long a settlement may take to leave the process, ms. */
const LEAVING = 20;

/** So many messages are handled before the event loop must turn. */
const YIELD_EVERY = 256;

/** There is nothing to wait for. */
const SETTLED = Promise.resolve();

/** Calls a handler for messages, so many at once. */
export class Runner<T> {
  readonly #handler: (message: ReceivedMessage<T>) => void | Promise<void>;
  readonly #options: RunOptions<T>;
  readonly #host: RunnerHost<T>;
  #concurrency: number;
  readonly #rewriting: Promise<void>[] = [];
  readonly #suspects: Suspects<ReceivedMessage<T>>;
  #active = 0;
  /** How many messages that failed are on their way to the broker without a slot. */
  #settling = 0;
  #count = 0;
  /** How many messages in a row were delivered before. */
  #comingAgain = 0;
  /** Resolves when a handler has ended, or more may run. */
  #freed: PromiseWithResolvers<void> | undefined;
  /** Called when no handler runs any more. */
  #idle: (() => void) | undefined;
  /** While a handler is called alone, or is about to be. */
  #alone: Promise<void> | undefined;
  /** Whether the handlers that run have had their time: `drainTimeout`, or that of `close()`. */
  #isLate = false;
  /** Called when that is so. */
  readonly #whenLate = new Set<() => void>();
  readonly #outcomes: Outcomes<T>;
  /** Lets messages of one key begin one after another; none in other runs. */
  readonly #order: KeyOrder<T> | undefined;
  /** How often it may begin with a message; none without a limit. */
  readonly #pace: Pace<T> | SharedPace<T> | undefined;

  /** Makes one that does nothing yet. */
  constructor(
    handler: (message: ReceivedMessage<T>) => void | Promise<void>,
    options: RunOptions<T>,
    host: RunnerHost<T>,
  ) {
    checkHandler(handler, "run", "takes a message");
    checkRun(options);
    this.#handler = handler;
    this.#options = options;
    this.#host = host;
    this.#concurrency = options.concurrency ?? 1;
    this.#outcomes = new Outcomes(
      options,
      host,
      host.ordered ? this.#rest : undefined,
    );
    this.#order = host.ordered
      ? new KeyOrder({
        ...host,
        letGo: (message) => this.#outcomes.goBack(message, 0),
      })
      : undefined;
    const { rateLimit } = options;
    const calls: SharedPaceCalls<T> = {
      place: () => this.#alone ?? this.#untilPlace() ?? host.breaker?.place(),
      begin: (message) => {
        this.#active++;
        this.#begin(message);
      },
      failed: (message, error) => {
        this.#active++;
        this.#handle(message, Promise.reject(error))
          .then(this.#doneWith(message));
      },
      gone: (message) => this.#order?.left(message),
      hold: () => this.#active++,
      release: () => this.#giveUpPlace(),
      tell: (message, error) => this.#outcomes.tell(message, error),
    };
    this.#pace = rateLimit &&
      (host.shared === undefined
        ? new Pace(rateLimit, host, calls)
        : new SharedPace(rateLimit, host, host.shared, calls));
    this.#suspects = new Suspects({
      clock: host.clock,
      mark: (message, headers) => this.#mark(message, headers),
      callAlone: (message) => this.#callAlone(message),
      letGo: (message) => this.#outcomes.letGo(message),
    });
  }

  /** Changes how many handlers run at once; those that are at work come to their end. */
  setConcurrency(concurrency: number): void {
    this.#host.want(concurrency - this.#concurrency);
    this.#concurrency = concurrency;
    this.#wakeFreed();
  }

  /** Runs until there are no more messages. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = () => void this.#host.cancel().catch(() => {});
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    const stopTiming = this.#timeDrain();
    this.#host.want(this.#concurrency);
    try {
      await this.#pump();
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await this.letWaitingGo();
      await this.#unlessLate(this.#rewritten());
      await this.#suspects.end();
      await this.#drain();
      stopTiming?.();
    }
  }

  /**
   * Gives handlers their `drainTimeout` from the end of the messages on, and not only when
   * the loop below has noticed it: that waits for a handler while all places are taken.
   */
  #timeDrain(): (() => void) | undefined {
    const { drainTimeout } = this.#options;
    if (drainTimeout === undefined) return undefined;
    const host = this.#host;
    let stopTimer: (() => void) | undefined;
    const begin = () => {
      stopTimer = host.clock.timer(() => this.abandon(), drainTimeout);
    };
    const stopListening = host.onEnd(begin);
    if (host.hasEnded()) begin();
    return () => {
      stopListening();
      stopTimer?.();
    };
  }

  /** Ends without the handlers that are at work: their messages are for others. */
  abandon(): void {
    this.#isLate = true;
    for (const each of [...this.#whenLate]) each();
    this.#wakeFreed();
  }

  /** Waits for what may wait for a handler, but no longer than handlers have. */
  #unlessLate(promise: Promise<void>): Promise<void> {
    if (this.#isLate) return SETTLED;
    const { promise: either, resolve, reject } = Promise.withResolvers<void>();
    // A race with one promise of the whole run would keep each message until its end.
    this.#whenLate.add(resolve);
    promise.then(resolve, reject).then(() => this.#whenLate.delete(resolve));
    return either;
  }

  async #pump(): Promise<void> {
    while (!this.#isLate) {
      const shut = this.#untilPlace() ?? this.#pace?.beforeTaking() ??
        this.#host.breaker?.place();
      if (shut !== undefined) {
        await shut;
        continue;
      }
      const source = this.#order ?? this.#host;
      const message = source.take() ?? await source.next();
      if (message === undefined) return;
      const verdict = this.#order?.isResumed(message)
        ? CALL
        : this.#judge(message);
      if (verdict.type !== "call") {
        await this.#unlessLate(this.#examine(message, verdict));
        continue;
      }
      if (this.#order?.mustWait(message)) continue;
      if (this.#rewriting.length > 0) {
        await this.#unlessLate(this.#rewritten());
      }
      while (this.#alone !== undefined && !this.#isLate) {
        await this.#unlessLate(this.#alone);
      }
      // Fewer may run since it has waited for the message.
      while (this.#active >= this.#concurrency && !this.#isLate) {
        await this.#untilFree();
      }
      if (this.#isLate || this.#host.breaker?.place() !== undefined) {
        await this.#outcomes.letGo(message);
        this.#order?.left(message);
        this.#host.want(1);
        continue;
      }
      // It was lost with others before it in its key, and comes again behind them.
      if (this.#order !== undefined && !message.isOpen) {
        this.#order.left(message);
        this.#host.want(1);
        continue;
      }
      if (this.#pace?.mustWait(message)) continue;
      this.#active++;
      this.#begin(message);
      if (++this.#count % YIELD_EVERY === 0) await turn();
    }
  }

  /** Gives back messages that wait for their group, or their key. Never rejects. */
  async letWaitingGo(when?: Promise<void>): Promise<void> {
    const behind = this.#order?.clear() ?? [];
    const waiting = this.#pace?.clear() ?? [];
    for (const each of waiting) this.#order?.left(each);
    await when?.catch(() => {});
    await Promise.all(
      [...waiting, ...behind].map((each) => this.#outcomes.letGo(each)),
    );
  }

  /** Says whether a message waits here with its key: its broker would let the next ones pass it. */
  readonly #rest = (message: ReceivedMessage<T>, delay: number): boolean => {
    if (this.#order === undefined || message.keepsPlace) return false;
    this.#order.rest(message, delay);
    return true;
  };

  /**
   * Whether its handler may have ended its process. Without a policy no more messages are
   * written again than were in hand when a process like this one ended: those were begun
   * with in the order of the queue, and so they come first of the redelivered ones. In a
   * queue of a single active consumer nothing loses its place for it.
   */
  #judge(message: ReceivedMessage<T>): Verdict {
    const { retry } = this.#options;
    if (retry === false || message.autoAcked) return CALL;
    if (this.#order !== undefined && !message.keepsPlace) return CALL;
    if (retry !== undefined) return judge(retry, message, true);
    this.#comingAgain = message.redelivered ? this.#comingAgain + 1 : 0;
    // Of others nothing is counted, and how a queue is declared has to be looked for.
    const begins = message.redelivered &&
      this.#comingAgain <= this.#concurrency && !message.isOrdered;
    const verdict = judge(DEFAULT_RETRY, message, begins);
    return verdict.type !== "call" && message.isOfStream ? CALL : verdict;
  }

  /** Sees to a message that may end the process of its handler. Never rejects. */
  async #examine(
    message: ReceivedMessage<T>,
    verdict: Verdict,
  ): Promise<void> {
    if (verdict.type === "rewrite") {
      this.#rewriting.push(this.#rewrite(message, verdict.headers));
      return this.#host.want(1);
    }
    await this.#rewritten();
    switch (verdict.type) {
      case "call-alone":
        this.#suspects.came();
        await this.#callAlone(message, LEAVING);
        return await this.#suspects.proved();
      case "mark":
        await this.#suspects.add(message, verdict.headers);
        break;
      case "give-up": {
        const { calls } = verdict;
        const error = neverEnded(calls);
        this.#outcomes.tell(message, error);
        await this.#outcomes.giveUp(message, error, calls);
      }
    }
    this.#host.want(1);
  }

  /** Calls a handler while no other runs, after a while. Never rejects. */
  async #callAlone(message: ReceivedMessage<T>, delay = 0): Promise<void> {
    while (this.#alone !== undefined) await this.#alone;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#alone = promise;
    if (delay > 0) await this.#outcomes.wait(delay);
    while (this.#active > 0) {
      await new Promise<void>((resolve) => this.#idle = resolve);
    }
    if (this.#outcomes.draining) await this.#outcomes.letGo(message);
    else {
      if (this.#pace !== undefined) await this.#pace.untilCounted(message);
      this.#active++;
      this.#done(await this.#handle(message, this.#call(message)));
    }
    this.#alone = undefined;
    resolve();
  }

  /** Whether nobody has asked for a policy: what cannot be counted is called all the same. */
  get #isLenient(): boolean {
    return this.#options.retry === undefined;
  }

  /** Says whether it is out of our hands: written again, or rejected. Never rejects. */
  async #mark(
    message: ReceivedMessage<T>,
    headers: FieldTable,
  ): Promise<boolean> {
    try {
      await message.requeueLater(0, headers);
    } catch (failure) {
      if (message.settled) return true;
      this.#outcomes.tell(message, failure);
      if (mayPass(failure) || this.#isLenient) return false;
      await this.#outcomes.giveUp(message, asError(failure));
      return true;
    }
    // The handler of the copy may end the process before the original has left it.
    await this.#outcomes.wait(LEAVING);
    return true;
  }

  /** Waits for messages that are being written again. */
  async #rewritten(): Promise<void> {
    while (this.#rewriting.length > 0) {
      await Promise.all(this.#rewriting.splice(0));
    }
  }

  /** As a copy at the end of its queue. Never rejects. */
  async #rewrite(
    message: ReceivedMessage<T>,
    headers: FieldTable,
  ): Promise<void> {
    const rewrite = () => message.requeueLater(0, headers);
    const outcomes = this.#outcomes;
    const failure = await outcomes.persist(message, rewrite, undefined, 1);
    // The handler of the copy may end the process before the original has left it.
    if (failure === undefined) return await outcomes.wait(LEAVING);
    // A message that cannot be written again cannot be counted either.
    if (mayPass(failure)) await outcomes.letGo(message);
    else if (this.#isLenient) await this.#callAlone(message);
    else await outcomes.giveUp(message, asError(failure));
  }

  /** Handles a message. One whose handler returns at once costs no promise but its ack's. */
  #begin(message: ReceivedMessage<T>): void {
    const running = this.#call(message);
    const done = this.#order === undefined
      ? this.#done
      : this.#doneWith(message);
    if (running !== undefined) this.#handle(message, running).then(done);
    else if (message.settled) SETTLED.then(done);
    else {
      message.ackOnly().then(
        done,
        (failure) => this.#ackFailed(message, failure).then(done),
      );
    }
  }

  /** Never throws: it rejects with the error that a handler throws. */
  #call(message: ReceivedMessage<T>): void | Promise<void> {
    this.#host.calling(true);
    try {
      return this.#handler(message);
    } catch (error) {
      return Promise.reject(error);
    } finally {
      this.#host.calling(false);
    }
  }

  /** Never rejects. Resolves to `true` if another message has its slot. */
  async #handle(
    message: ReceivedMessage<T>,
    running: void | Promise<void>,
  ): Promise<boolean | void> {
    while (running !== undefined) {
      try {
        await running;
        break;
      } catch (error) {
        const slot = new Slot(this.#host.clock, this.#passOn);
        const again = await this.#outcomes.failed(
          message,
          asError(error),
          slot,
        );
        if (!again) return !slot.keep();
      }
      if (this.#pace !== undefined) await this.#pace.untilCounted(message);
      running = this.#call(message);
    }
    if (message.settled) return;
    try {
      await message.ackOnly();
    } catch (failure) {
      await this.#ackFailed(message, failure);
    }
  }

  /** Never rejects. */
  async #ackFailed(
    message: ReceivedMessage<T>,
    failure: unknown,
  ): Promise<void> {
    message.settlingFailed(failure);
    await this.#outcomes.ackAgain(message, failure);
  }

  /** As `#done`, and lets the next message of the key begin. */
  #doneWith(message: ReceivedMessage<T>): (isGone: boolean | void) => void {
    return (isGone) => {
      this.#order?.left(message);
      this.#done(isGone);
    };
  }

  readonly #done = (isGone: boolean | void): void => {
    if (!isGone) return this.#leave();
    this.#settling--;
    this.#wakeFreed();
  };

  /** A message that failed is settled without a slot from now on. */
  readonly #passOn = (): void => {
    this.#settling++;
    this.#leave();
  };

  #leave(): void {
    this.#host.want(1);
    this.#giveUpPlace();
  }

  #giveUpPlace(): void {
    this.#active--;
    this.#wakeFreed();
    if (this.#active === 0) this.#idle?.();
  }

  /** Resolves when a handler may be called; `undefined` if one may be now. */
  #untilPlace(): Promise<void> | undefined {
    return this.#active < this.#concurrency ? undefined : this.#untilFree();
  }

  #untilFree(): Promise<void> {
    return (this.#freed ??= Promise.withResolvers<void>()).promise;
  }

  #wakeFreed(): void {
    this.#freed?.resolve();
    this.#freed = undefined;
  }

  async #drain(): Promise<void> {
    this.#outcomes.drain();
    while (this.#active + this.#settling > 0 && !this.#isLate) {
      await this.#untilFree();
    }
    await this.#outcomes.idle();
  }
}
