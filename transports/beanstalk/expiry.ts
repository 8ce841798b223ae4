import type { CallOptions } from "../../model/call_options.ts";
import type { Reservation } from "../store/store.ts";
import { readBody, Statistics, timeLeft } from "./body.ts";
import type { Reply } from "./client.ts";
import type { Jobs } from "./jobs.ts";
import type { BeanstalkReservation } from "./reservation.ts";
import { join, type Link, type LinkContext } from "./link.ts";
import type { Tubes } from "./tubes.ts";

/** How often to look at a queue of which it is not known when its next message expires, ms. */
const LOOK_EVERY = 5000;

/** The minimum time between two looks: what waits may cost no more, ms. */
const LEAST_PAUSE = 1000;

/** The services that expiry uses of its store. */
export interface ExpiryHost {
  readonly context: LinkContext;
  readonly jobs: Jobs;
  readonly tubes: Tubes;
  /** The socket for everything that does not wait. */
  readonly link: Link;
  /** Whether what expires in a queue goes somewhere. */
  deadLetters(queue: string): boolean;
  /** Whether a call waits that would dead-letter the messages that are found. */
  readonly waiting: boolean;
  /** Something was found. */
  found(): void;
}

/** The result of a look at the head of a queue. */
export interface Swept {
  /** How many expired messages left the queue. */
  readonly count: number;
  /** Milliseconds until the message that is now at its head expires; `undefined` if it does not, or there is none. */
  readonly next: number | undefined;
  readonly empty: boolean;
}

/**
 * Looks for messages whose time to live is over. beanstalkd knows no such thing: those that
 * nobody takes are found by a look at the head of their queue. They are deleted; or, where
 * their queue dead-letters, taken, for the next who asks for messages to carry them away.
 */
export class Expiry {
  readonly #host: ExpiryHost;
  /** When to look at a queue next, on the clock. */
  readonly #looks = new Map<string, number>();
  #found: BeanstalkReservation[] = [];
  #stopTimer: (() => void) | undefined;
  #lookedAt = -Infinity;
  #looking = false;

  /** Makes one that knows of no queue. */
  constructor(host: ExpiryHost) {
    this.#host = host;
  }

  /** Notes that a message of a queue that dead-letters expires in so many ms. */
  note(queue: string, ttl: number): void {
    const at = this.#host.context.clock.now() + ttl;
    if ((this.#looks.get(queue) ?? Infinity) <= at) return;
    this.#looks.set(queue, at);
    if (this.#host.waiting) this.arm();
  }

  /** Notes what goes back: it may expire there, unseen by consumers. */
  noteReturns(reservations: readonly Reservation[]): void {
    const { jobs, context } = this.#host;
    for (const each of reservations) {
      if (!jobs.has(each) || each.overAt === undefined) continue;
      if (!this.#host.deadLetters(each.queue)) continue;
      this.note(each.queue, each.overAt - context.clock.now());
    }
  }

  /** Forgets a queue. */
  forget(queue: string): void {
    this.#looks.delete(queue);
  }

  /** Takes out what was found. */
  take(): readonly Reservation[] {
    if (this.#found.length === 0) return this.#found;
    const found = this.#found;
    this.#found = [];
    return found;
  }

  /** Sees to it that queues are looked at while somebody waits. */
  arm(): void {
    this.stop();
    if (this.#looks.size === 0 || this.#looking) return;
    const { clock } = this.#host.context;
    const next = Math.max(
      Math.min(...this.#looks.values()),
      this.#lookedAt + LEAST_PAUSE,
    );
    this.#stopTimer = clock.timer(
      () => void this.#look(),
      Math.max(0, Math.ceil(next - clock.now())),
    );
  }

  /** Stops looking. */
  stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  async #look(): Promise<void> {
    const { clock } = this.#host.context;
    const now = this.#lookedAt = clock.now();
    this.#looking = true;
    try {
      for (const [queue, at] of [...this.#looks]) {
        if (at > now) continue;
        const { next, empty } = await this.sweep(queue);
        if (empty) this.#looks.delete(queue);
        else {
          this.#looks.set(queue, clock.now() + (next ?? LOOK_EVERY));
        }
      }
    } catch {
      // The connection was lost, or is being closed: pending calls are told of it.
      return;
    } finally {
      this.#looking = false;
    }
    if (this.#host.waiting) this.arm();
  }

  /** Takes what has expired from the head of a queue. */
  async sweep(queue: string, options?: CallOptions): Promise<Swept> {
    const { link, tubes } = this.#host;
    const action = `look at queue "${queue}"`;
    const deadline = options?.deadline;
    const deadLetters = this.#host.deadLetters(queue);
    const taken: BeanstalkReservation[] = [];
    let deleted = 0;
    let swept: Swept | undefined;
    while (swept === undefined) {
      const replies = await link.call(
        join(link.use(tubes.of(queue)), { text: "peek-ready\r\n", count: 1 }),
        { deadline, action },
      );
      const head = replies.at(-1);
      const count = taken.length + deleted;
      if (head?.word !== "FOUND" || head.body === undefined) {
        swept = { count, next: undefined, empty: true };
        continue;
      }
      const left = await this.#timeLeft(head, { deadline, action });
      const stays = left === undefined || left > 0 ||
        (deadLetters && !await this.#reserve(queue, head.number, taken, {
          deadline,
          action,
        }));
      if (stays) swept = { count, next: left, empty: false };
      else if (!deadLetters) {
        await link.call(
          { text: `delete ${head.number}\r\n`, count: 1 },
          { deadline, action },
        );
        deleted++;
      }
    }
    await this.#handOver(taken, { deadline, action });
    return swept;
  }

  /** Milliseconds until a job expires; `undefined` if it does not, or is gone. */
  async #timeLeft(
    { number, body }: Reply,
    call: { readonly deadline: number | undefined; readonly action: string },
  ): Promise<number | undefined> {
    const { context, link } = this.#host;
    const { life } = readBody(body ?? new Uint8Array());
    if (life === undefined) return undefined;
    const [reply] = await link.call(
      { text: `stats-job ${number}\r\n`, count: 1 },
      call,
    );
    if (reply?.word !== "OK") return undefined;
    const age = new Statistics(reply.body).number("age");
    return timeLeft(life, age, context.clock.wall());
  }

  /** Takes one job by its number. Servers before 1.12 cannot: there it stays. */
  async #reserve(
    queue: string,
    id: number,
    taken: BeanstalkReservation[],
    call: { readonly deadline: number | undefined; readonly action: string },
  ): Promise<boolean> {
    const { jobs, link } = this.#host;
    const replies = await link.call(
      { text: `reserve-job ${id}\r\n`, count: 1 },
      call,
    );
    const [reply] = replies;
    if (reply?.word !== "RESERVED") return reply?.word === "NOT_FOUND";
    taken.push(...await jobs.take(link, replies, () => queue, call));
    return true;
  }

  /** To a caller that waits; or back, for nobody here dead-letters them. */
  async #handOver(
    taken: readonly BeanstalkReservation[],
    call: { readonly deadline: number | undefined; readonly action: string },
  ): Promise<void> {
    if (taken.length === 0) return;
    const { jobs, waiting } = this.#host;
    if (waiting) {
      this.#found.push(...taken);
      this.#host.found();
    } else {
      await jobs.settle(
        taken,
        ({ id, priority }) => `release ${id} ${priority} 0\r\n`,
        call,
      );
    }
  }
}
