import {
  type Channel,
  type DelayedMessage,
  type Delivery,
  type DeliveryTag,
  PublishError,
  SettlementError,
  UnroutableError,
} from "../mod.ts";
import { lineOf } from "./advice.ts";
import { type Movable, movedMessage } from "./move_message.ts";
import type { Rest } from "./move_rest.ts";
import { isOfOne, UnmovableError } from "./move_refusals.ts";
import { deathsOf } from "../messaging/consume/deaths.ts";
import { Pacer, pause } from "./pacer.ts";

/** A queue that has had nothing for so long is asked whether it is empty, ms. */
const QUIET = 300;
/** How often that is looked at, ms. */
const LOOK = 50;
/** How often a queue whose messages others hold is looked at, ms. */
const WAIT = 500;
/** How long messages in flight have when no more are begun with, ms. */
const DRAIN = 10_000;
/** What is due so soon is not moved before it is, ms. */
const SOON = 1000;
/** So often it is looked whether such messages are ready. */
const MOST_ROUNDS = 5;
/** So many are kept at least before the queue is given up: they are held meanwhile. */
const MOST_KEPT = 1000;
/** So many reasons for which messages are kept are told. */
const MOST_TOLD = 10;

/** How the messages of one queue are moved. */
export interface BacklogOptions {
  /** The queue that they lie in. */
  readonly from: string;
  /** The queue that they go to. */
  readonly to: string;
  /** The maximum number to move. */
  readonly limit: number;
  /** How many are moved though they have died in the target, as those that are put back; others have come back. */
  readonly first: number;
  /** The maximum number that is on its way at once. */
  readonly inFlight: number;
  /** Whether the queue goes, or may go, when its last consumer does: then it is given none. */
  readonly goesUnused: boolean;
  /** How many are moved per second at most. */
  readonly rate: number;
  /** How long to wait for messages that are there and do not come, ms. */
  readonly wait: number;
  /** How long the broker remembers an id, by which a second message of it is put nowhere, ms. */
  readonly dedupe: number | undefined;
  /** Whether the target says that a queue is not there. */
  readonly mandatory: boolean;
  /** Whether the target takes no message in another user's name. */
  readonly checksUser: boolean;
  /** When it aborts, what is on its way is finished, and nothing is begun with. */
  readonly signal: AbortSignal;
  /** Called when there is nothing to take, and others hold so many. */
  onWait(unacked: number): void;
  /** Counts what is in the queue, and what others hold of it; `undefined` where the broker does not tell. */
  left(): Promise<Rest>;
}

/** The result so far. */
export interface BacklogCounts {
  /** How many are at the target, and gone from the source. */
  readonly moved: number;
  /** How many of these the target had already, by their ids. */
  readonly duplicates: number;
  /** How many are at the target, and may be at the source too: somebody else has them. */
  readonly twice: number;
  /** How many stay, for the target refuses them. */
  readonly kept: number;
}

/**
 * Moves the ready messages of a queue: each is published to its target, and only when that
 * has confirmed it, it is acked at the source. So none is lost, whenever the process ends.
 */
export class Backlog {
  readonly #source: Channel;
  readonly #target: Pick<Channel, "publish">;
  readonly #options: BacklogOptions;
  readonly #pacer: Pacer;
  readonly #kept: DeliveryTag[] = [];
  readonly #surplus: DeliveryTag[] = [];
  /** Why messages are kept, some of it. */
  readonly reasons: Set<string> = new Set();
  #keptDelayed = 0;
  #begun = 0;
  #moved = 0;
  #duplicates = 0;
  #twice = 0;
  #inFlight = 0;
  #lastAt = 0;
  #error: { readonly cause: unknown } | undefined;
  readonly #failure = new AbortController();
  /** Aborts when nothing more is begun with, for a failure too. */
  readonly #end: AbortSignal;

  /** Makes one over a channel of each broker. */
  constructor(
    source: Channel,
    target: Pick<Channel, "publish">,
    options: BacklogOptions,
  ) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#pacer = new Pacer(options.rate);
    this.#end = AbortSignal.any([options.signal, this.#failure.signal]);
  }

  /** The result so far. */
  get counts(): BacklogCounts {
    return {
      moved: this.#moved,
      duplicates: this.#duplicates,
      twice: this.#twice,
      kept: this.#kept.length + this.#keptDelayed,
    };
  }

  /**
   * Moves what is delayed, where the source shows it, and what is ready, until the queue is
   * empty, the limit is reached, or the signal aborts.
   *
   * @throws {Error} If a connection is lost, or the target takes nothing.
   */
  async runAll(): Promise<void> {
    let before = await this.#runDelayed();
    await this.#run();
    // Some were delayed meanwhile, as for another attempt, and some are due at once.
    let soon = await this.#runDelayed();
    for (
      let i = 0;
      before + soon > 0 && !this.#isOver && i < MOST_ROUNDS;
      i++
    ) {
      // Those that were there before, and are not now, are ready.
      if (soon > 0) await pause(SOON, this.#end);
      await this.#run();
      before = soon;
      soon = await this.#runDelayed();
    }
  }

  async #run(): Promise<void> {
    this.#kept.length = this.#surplus.length = 0;
    try {
      let waitsUntil = performance.now() + this.#options.wait;
      let before = -1;
      while (!this.#isOver) {
        if (!this.#options.goesUnused) {
          await this.#consume();
          if (this.#isOver) break;
        }
        // A consumer is told of no end: who asks for a message is.
        if (await this.#pull()) continue;
        if (before !== this.#begun) {
          before = this.#begun;
          waitsUntil = performance.now() + this.#options.wait;
        }
        const { ready = 0, unacked = 0 } = await this.#options.left();
        const own = this.#kept.length;
        if (ready === 0 && unacked <= own) break;
        if (performance.now() >= waitsUntil) break;
        this.#options.onWait(unacked - own);
        await pause(WAIT, this.#end);
      }
      await this.#drain();
    } finally {
      await this.#giveBack();
    }
    if (this.#error !== undefined) throw this.#error.cause;
  }

  get #isOver(): boolean {
    return this.#end.aborted || this.#begun >= this.#options.limit;
  }

  /** Asks for messages, many at once, until there is none; says whether there was one. */
  async #pull(): Promise<boolean> {
    const { from, goesUnused, inFlight } = this.#options;
    const first = await this.#source.get(from);
    if (first === undefined) return false;
    const moving = this.#take(first);
    if (!goesUnused) return true; // a consumer is faster
    const pull = async () => {
      while (!this.#isOver) {
        const next = await this.#source.get(from);
        if (next === undefined) return;
        await this.#take(next);
      }
    };
    const count = Math.min(inFlight, this.#pacer.atOnce);
    await Promise.all([moving, ...Array.from({ length: count - 1 }, pull)]);
    return true;
  }

  async #consume(): Promise<void> {
    const { from, limit, inFlight } = this.#options;
    const prefetch = Math.min(
      inFlight,
      Math.max(1, limit - this.#begun),
      this.#pacer.atOnce,
    );
    const subscription = await this.#source.consume(
      from,
      (delivery) => void this.#take(delivery),
      {
        prefetch,
        wanted: () => Math.max(0, prefetch - this.#inFlight),
      },
    );
    let isCancelled = false;
    const ended = subscription.ended.then((reason) => {
      if (!isCancelled && reason.type !== "cancelled") this.#fail(reason.error);
    });
    this.#lastAt = performance.now();
    while (!this.#isOver && !this.#isQuiet) {
      await Promise.race([ended, pause(LOOK, this.#end)]);
    }
    isCancelled = true;
    await subscription[Symbol.asyncDispose]();
  }

  get #isQuiet(): boolean {
    return this.#inFlight === 0 && performance.now() - this.#lastAt >= QUIET;
  }

  /** Resolves when it is moved, or is to stay. */
  async #take(delivery: Delivery): Promise<void> {
    if (this.#isOver) {
      this.#surplus.push(delivery.deliveryTag);
      return;
    }
    this.#begun++;
    this.#inFlight++;
    await this.#move(delivery)
      .catch((error) => this.#refused(delivery, error))
      .finally(() => {
        this.#inFlight--;
        this.#lastAt = performance.now();
      });
  }

  async #move(delivery: Delivery): Promise<void> {
    const { malformed, properties: { headers = {} } } = delivery;
    if (malformed !== undefined) {
      throw new UnmovableError(`it cannot be read: ${lineOf(malformed)}`);
    }
    const { to, first } = this.#options;
    const isBack = this.#begun > first &&
      deathsOf(headers).some(({ queue }) => queue === to);
    if (isBack) {
      throw new UnmovableError(
        `it has died in queue "${to}", and would be moved in a circle`,
      );
    }
    const turn = this.#pacer.turn(this.#end);
    if (turn !== undefined && !await turn) {
      this.#surplus.push(delivery.deliveryTag);
      return;
    }
    await this.#publish(delivery);
    try {
      await this.#source.ack(delivery.deliveryTag);
      this.#moved++;
    } catch (error) {
      if (!(error instanceof SettlementError)) throw error;
      this.#twice++; // its lease was lost: somebody else has it, too
    }
  }

  async #publish(message: Movable, delay?: number): Promise<void> {
    const { to, dedupe, mandatory, checksUser } = this.#options;
    const outcome = await this.#target.publish(
      movedMessage(message, { to, mandatory, checksUser, dedupe, delay }),
    );
    if (outcome.type === "duplicate") this.#duplicates++;
    if (outcome.type !== "returned") return;
    throw new UnroutableError(
      `Cannot move to queue "${to}": ${outcome.replyText}`,
    );
  }

  /**
   * Moves delayed messages: each is removed at the source when the target has it. Those that
   * are due within a second are left to become ready; returns how many these are, and those
   * that became ready meanwhile.
   */
  async #runDelayed(): Promise<number> {
    const pages = this.#source.listDelayed?.(this.#options.from) ?? [];
    this.#keptDelayed = 0;
    let soon = 0;
    for await (const page of pages) {
      const some = page.filter(({ delay }) => delay > SOON);
      soon += page.length - some.length;
      for (let at = 0; at < some.length && !this.#isOver;) {
        const { inFlight, limit } = this.#options;
        const room = Math.min(inFlight, limit - this.#begun);
        const batch = some.slice(at, at + room);
        at += batch.length;
        this.#begun += batch.length;
        const are = await Promise.all(
          batch.map((each) => this.#moveDelayed(each)),
        );
        soon += are.filter((isReady) => isReady).length;
      }
      if (this.#isOver) break;
    }
    if (this.#error !== undefined) throw this.#error.cause;
    return soon;
  }

  /** Says whether it became ready at the source meanwhile. */
  async #moveDelayed(delayed: DelayedMessage): Promise<boolean> {
    const { message, delay } = delayed;
    const turn = this.#pacer.turn(this.#end);
    if (turn !== undefined && !await turn) return false;
    try {
      await this.#publish(message, delay);
      if (await delayed.remove()) {
        this.#moved++;
        return false;
      }
      this.#twice++; // it is due by now, and is moved again
      return true;
    } catch (error) {
      if (isOfOne(error)) {
        this.#keptDelayed++;
        this.#tellKept(message, error);
      } else this.#fail(error);
      return false;
    }
  }

  /** One that the target cannot have stays, and the others go on. */
  #refused(delivery: Delivery, error: unknown): void {
    if (!isOfOne(error)) return this.#fail(error);
    this.#kept.push(delivery.deliveryTag);
    this.#tellKept(delivery, error);
    // They are held until the end, so that they do not come again at once.
    const { from, inFlight } = this.#options;
    if (this.#kept.length >= Math.max(MOST_KEPT, 10 * inFlight)) {
      this.#fail(
        new PublishError(
          `too many messages of queue "${from}" stay: ${lineOf(error)}`,
          { code: "publish-refused", cause: error },
        ),
      );
    }
  }

  #tellKept({ properties: { messageId } }: Movable, error: unknown): void {
    if (this.reasons.size >= MOST_TOLD) return;
    const name = messageId === undefined ? "" : ` "${messageId}"`;
    this.reasons.add(
      `a message${name} of queue "${this.#options.from}" stays: ${
        lineOf(error)
      }`,
    );
  }

  #fail(cause: unknown): void {
    this.#error ??= { cause };
    this.#failure.abort();
  }

  async #drain(): Promise<void> {
    const until = performance.now() + DRAIN;
    while (this.#inFlight > 0 && performance.now() < until) {
      await sleep(LOOK);
    }
  }

  /** The last first: each goes in front of the one that stood behind it. */
  async #giveBack(): Promise<void> {
    const tags = [...this.#kept, ...this.#surplus].toSorted((a, b) => b - a);
    for (const tag of tags) {
      await this.#source.reject(tag, { requeue: true }).catch(() => {});
    }
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
