import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ConnectionError,
  MessagingError,
  NotFoundError,
} from "../../model/errors.ts";
import { isLeaseLost } from "./doubted.ts";
import type { MessageStore, Reservation } from "./store.ts";

/** Milliseconds until something is tried again, doubling. */
const [FIRST_DELAY, LONGEST_DELAY] = [1000, 30_000];

/** The options of a connection that {@linkcode Leftovers} use. */
export interface LeftoverSettings {
  readonly operationTimeout: number;
  readonly clock: Clock;
}

interface Leftover {
  readonly again: (options: CallOptions) => Promise<unknown>;
  delay: number;
  at: number;
}

/**
 * Reservations that nobody waits for and whose settlement failed: what could not be
 * dead-lettered when it expired, or be given back by a consumer that has ended. They are
 * tried again while the connection lives, and given back at its end.
 */
export class Leftovers {
  readonly #messages: Pick<MessageStore, "release">;
  readonly #settings: LeftoverSettings;
  readonly #left = new Map<Reservation, Leftover>();
  #stopTimer: (() => void) | undefined;
  #stopped = false;
  /** Nothing more is asked of the store, and nobody waits. */
  #over = false;
  #onOver: (() => void) | undefined;

  /** Makes an empty list. */
  constructor(
    messages: Pick<MessageStore, "release">,
    settings: LeftoverSettings,
  ) {
    this.#messages = messages;
    this.#settings = settings;
  }

  /** Tries something again later, until it succeeds or the reservation is lost. */
  add(
    reservation: Reservation,
    again: (options: CallOptions) => Promise<unknown>,
  ): void {
    if (this.#over) return;
    const delay = FIRST_DELAY;
    const at = this.#settings.clock.now() + delay;
    this.#left.set(reservation, { again, delay, at });
    this.#arm();
  }

  /** Gives back what nobody wants: now, or later if that fails. Never rejects. */
  async release(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<void> {
    if (reservations.length === 0) return;
    try {
      await this.#messages.release(reservations, options);
    } catch {
      for (const each of reservations) {
        this.add(each, (limits) => this.#giveBack(each, limits));
      }
    }
  }

  /** Lists the reservations that are held, to be renewed. */
  held(): readonly Reservation[] {
    return [...this.#left.keys()];
  }

  /** Forgets those that are no longer ours. */
  lose(lost: Iterable<Reservation>): void {
    for (const each of lost) this.#left.delete(each);
  }

  /** Tries no more: its connection was lost or cut, and the broker gives back its messages. */
  stop(): void {
    this.#stopped = this.#over = true;
    this.#stopTimer?.();
    this.#left.clear();
    this.#onOver?.();
  }

  /** Gives back all that is left, by the deadline. Never rejects. */
  async close(deadline: number): Promise<void> {
    const { clock } = this.#settings;
    this.#stopped = true;
    this.#stopTimer?.();
    for (let delay = 50; this.#left.size > 0; delay *= 2) {
      try {
        await Promise.all(
          this.held().map(async (each) => {
            await this.#giveBack(each, { deadline }).catch((error) => {
              // What is refused for good comes again when its time is over.
              if (!isFinal(error)) throw error;
            });
            this.#left.delete(each);
          }),
        );
      } catch (error) {
        const isGone = error instanceof ConnectionError;
        if (isGone || clock.now() + delay >= deadline) return;
        await new Promise<void>((resolve) => {
          this.#stopTimer = clock.timer(resolve, delay);
          this.#onOver = resolve;
        });
      }
    }
  }

  /** A message whose queue was deleted is gone with the queue. */
  async #giveBack(
    reservation: Reservation,
    options: CallOptions,
  ): Promise<void> {
    try {
      await this.#messages.release([reservation], options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }

  #arm(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (this.#stopped || this.#left.size === 0) return;
    const next = Math.min(...[...this.#left.values()].map(({ at }) => at));
    const { clock } = this.#settings;
    this.#stopTimer = clock.timer(
      () => void this.#tryAll(),
      Math.max(0, next - clock.now()),
    );
  }

  async #tryAll(): Promise<void> {
    const { clock, operationTimeout } = this.#settings;
    const now = clock.now();
    for (const [reservation, leftover] of this.#left) {
      if (this.#stopped) return;
      if (leftover.at > now) continue;
      try {
        await leftover.again({ deadline: clock.now() + operationTimeout });
        this.#left.delete(reservation);
      } catch (error) {
        if (isLeaseLost(error)) this.#left.delete(reservation);
        leftover.delay = Math.min(2 * leftover.delay, LONGEST_DELAY);
        leftover.at = clock.now() + leftover.delay;
      }
    }
    this.#arm();
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof MessagingError && !error.retryable &&
    !(error instanceof ConnectionError);
}
