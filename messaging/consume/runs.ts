import { OptionError } from "../../model/errors.ts";
import { queueName } from "../entities/queue.ts";
import { checkKnown, type KnownOptions } from "../known_options.ts";
import type { Call } from "../operation_options.ts";
import { Breaker, checkAlone, checkBreaker } from "./breaker.ts";
import type { Handler } from "./checked.ts";
import {
  requireDelay,
  requireKeyOrder,
  requireSharedRate,
} from "./consumed_queues.ts";
import { checkPausable } from "./flow_options.ts";
import { mayWait } from "./handler_retry.ts";
import { receiving } from "./hooked.ts";
import type { Intake } from "./intake.ts";
import { Once } from "./once.ts";
import { isRunOrdered } from "./ordered_options.ts";
import { checkWaits } from "./rate_limit.ts";
import type { RunOptions } from "./run_options.ts";
import { Runner } from "./runner.ts";
import type { SharedCount } from "./shared_pace.ts";

/** How a run can be changed while it is at work. */
interface Controls {
  setConcurrency(concurrency: number): void;
  /** Messages that wait for a limit go back. Never rejects. */
  letWaitingGo(when?: Promise<void>): Promise<void>;
  /** Has it end without the handlers that are at work. */
  abandon(): void;
  /** The option for which it is to be the only one. */
  readonly alone: "breaker" | "ordered" | undefined;
}

/** The parts that a run has beside its handler. */
export interface RunParts {
  readonly breaker: Breaker | undefined;
  /** Called when no more messages come. */
  readonly onEnd?: () => void;
  /** Whether its handler looks itself whether a message was refused. */
  readonly answers?: boolean;
  /** Takes the number of batches, and returns that of messages. */
  readonly setConcurrency?: (concurrency: number) => number;
}

/**
 * The runs of a consumer: the handlers that take its messages, with the circuit breaker, the
 * inbox and the limits that their options ask for.
 *
 * @typeParam T The type of its messages' `payload`.
 */
export class Runs<T> {
  readonly #intake: Intake<T>;
  /** Told to the session as whose handler is being called. */
  readonly #owner: object;
  readonly #running = new Map<Promise<void>, Controls>();
  /** The circuit breaker of the run that is at work. */
  breaker: Breaker | undefined;
  /** How many messages an inbox knew as handled. */
  duplicates = 0;

  /** Makes them for a consumer, which is their owner. */
  constructor(intake: Intake<T>, owner: object) {
    this.#intake = intake;
    this.#owner = owner;
  }

  /** Whether none is at work. */
  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  /** Resolves when those that are at work have ended. Never rejects. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#running.keys());
  }

  /** Has those end that wait for handlers whose messages have gone back. */
  abandon(): void {
    for (const each of this.#running.values()) each.abandon();
  }

  /** Changes how many handlers of each run are called at once. */
  setConcurrency(concurrency: number): void {
    for (const each of this.#running.values()) each.setConcurrency(concurrency);
  }

  /** Gives back messages that were fetched and not handed over, and those that wait for a limit. */
  async renew(call: Call): Promise<void> {
    const running = [...this.#running.values()];
    const renewing = this.#intake.recovering.renew(call);
    // Messages that wait begin no more from now on; given back at once they would come again.
    const going = running.map((each) => each.letWaitingGo(renewing));
    try {
      await renewing;
    } finally {
      await Promise.all(going);
      await Promise.all(running.map((each) => each.letWaitingGo()));
    }
  }

  /** Makes the circuit breaker of a run, if its options ask for one; refuses what are no options. */
  breakerOf(
    options: Pick<RunOptions<T>, "breaker">,
    known: KnownOptions,
  ): Breaker | undefined {
    checkKnown(options, known);
    const { breaker } = options;
    if (breaker === undefined) return undefined;
    checkBreaker(breaker);
    const { session, flow } = this.#intake;
    checkPausable(this.#intake.queues, 'use a "breaker" for');
    const queues = this.#intake.queues.map(queueName);
    return new Breaker(breaker, {
      clock: session.clock,
      hasEnded: () => this.#intake.mailbox.ended,
      onEnd: (callback) => this.#intake.mailbox.onEnd(callback),
      opened: (error, until) => {
        flow.breakerIs("open");
        session.emit({
          type: "breaker-opened",
          queues,
          until: new Date(until),
          error,
        });
        this.#renewSoon();
      },
      halfOpened: () => flow.breakerIs("half-open"),
      closed: () => {
        flow.breakerIs("closed");
        session.emit({ type: "breaker-closed", queues });
        this.#renewSoon();
      },
    });
  }

  /** A broker that does not answer loses the channel, and by that the rest goes back. */
  #renewSoon(): void {
    const { session } = this.#intake;
    session.track(this.renew(session.call()).catch(() => {}));
  }

  /**
   * Calls a handler for messages, until the consumer ends.
   *
   * @param handler The handler, as it is to be called.
   * @param options The options of the run.
   * @param parts What it has besides.
   * @throws The error that ended the consumer, or of a bad option.
   */
  async run(
    handler: Handler<T>,
    options: RunOptions<T>,
    { breaker, onEnd, setConcurrency, answers }: RunParts,
  ): Promise<void> {
    const { retry } = options;
    const { session, queues, reading, ask } = this.#intake;
    const ordered = isRunOrdered(options, queues, this.#intake.options);
    const once = this.#onceOf(handler, options);
    const handle = once?.handle ?? handler;
    const tried = breaker?.trying(handle) ?? handle;
    const received = receiving(reading.uses, tried, answers ? undefined : ask);
    // Its group may be told by the payload.
    const via = options.rateLimit?.key === undefined ? undefined : "run";
    const shared = this.#sharedBy(options);
    const runner = new Runner<T>(received, options, {
      ...this.#intake.outcomesHost(options.onError),
      breaker,
      ordered,
      shared,
      take: () => incoming.take(false, via),
      next: onEnd === undefined
        ? () => incoming.next(false, via)
        : () =>
          incoming.next(false, via).then((message) => {
            if (message === undefined) onEnd();
            return message;
          }),
      want: (count) => recovering.want(count),
      onEnd: (callback) => mailbox.onEnd(callback),
      hasEnded: () => mailbox.ended,
      cancel: () => this.#intake.cancel(session.call()),
      calling: (is) => session.handling = is ? this.#owner : undefined,
    });
    this.#checkOptions(options);
    const alone = breaker !== undefined
      ? "breaker"
      : ordered
      ? "ordered"
      : undefined;
    checkAlone([alone, ...[...this.#running.values()].map((e) => e.alone)]);
    this.#intake.start([
      ...(retry && mayWait(retry) ? [requireDelay] : []),
      ...(ordered ? [requireKeyOrder] : []),
      ...(shared === undefined ? [] : [requireSharedRate]),
    ]);
    this.breaker = breaker;
    const { incoming, recovering, mailbox } = this.#intake;
    const stopListening = once && mailbox.onEnd(() => once.end());
    const running = runner.run();
    this.#running.set(running, {
      setConcurrency: (concurrency) =>
        runner.setConcurrency(setConcurrency?.(concurrency) ?? concurrency),
      letWaitingGo: (when) => {
        once?.letWaitingGo();
        return runner.letWaitingGo(when);
      },
      abandon: () => runner.abandon(),
      alone,
    });
    try {
      await running;
    } finally {
      this.#running.delete(running);
      stopListening?.();
      if (breaker !== undefined) {
        breaker.end();
        this.#intake.flow.breakerIs("closed");
      }
    }
  }

  /** With autoAck nothing is left to be settled. */
  #checkOptions(options: RunOptions<T>): void {
    const { autoAck } = this.#intake.options;
    checkWaits(options.rateLimit, autoAck);
    if (!autoAck) return;
    if (options.retry || options.onFailure) {
      throw new TypeError(
        "Cannot try messages again, or park them, of a consumer with autoAck: they are acked when they are handed over",
      );
    }
    if (options.inbox !== undefined) {
      throw new OptionError(
        "Cannot use an inbox for a consumer with autoAck: its messages are acked when they are handed over, and one that fails would not come again",
      );
    }
  }

  /** Returns the caller of the handler for messages that the inbox does not know; `undefined` without an inbox. */
  #onceOf(
    handler: Handler<T>,
    { inbox, inboxKey, onError }: RunOptions<T>,
  ): Once<T> | undefined {
    if (inbox === undefined) return undefined;
    const { clock, teller } = this.#intake.outcomesHost(onError);
    return new Once(handler, inbox, inboxKey, {
      clock,
      tell: (error, message) => teller.failed(error, message),
      skipped: (
        { deliveryInfo: { queue }, properties: { messageId } },
        key,
      ) => {
        this.duplicates++;
        const { session } = this.#intake;
        session.emit({ type: "duplicate", queue, messageId, key });
      },
    });
  }

  #sharedBy(
    { rateLimit }: Pick<RunOptions<T>, "rateLimit">,
  ): SharedCount | undefined {
    if (rateLimit?.scope !== "queue") return undefined;
    const { session, queues } = this.#intake;
    const { limit, interval } = rateLimit;
    const rate = { limit, interval };
    return {
      hasOneQueue: queues.length === 1,
      admit: (queue, key, signal) => {
        const call = { ...session.call(), signal };
        return session.retry(call, async () => {
          const link = await session.link(call);
          requireSharedRate(link);
          const { rates } = link.connection;
          return await rates?.admit(queue, key, rate, call) ?? 0;
        });
      },
    };
  }
}
