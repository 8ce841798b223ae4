import type { Clock } from "./clock.ts";

/** Calls back when something ends, at once if it has; returns the way to call that off. */
export type OnEnd = (callback: () => void) => () => void;

/**
 * Waits so many ms, and no longer than until an end.
 *
 * @param clock The time.
 * @param duration Milliseconds.
 * @param onEnd Tells of the end. @default {there is none}
 * @returns Resolves then. Never rejects.
 */
export function pause(
  clock: Clock,
  duration: number,
  onEnd?: OnEnd,
): Promise<void> {
  return new Promise((resolve) => {
    let isOver = false;
    let callOff = () => {};
    const stop = clock.timer(done, duration);
    callOff = onEnd?.(done) ?? callOff;
    if (isOver) callOff();
    function done(): void {
      isOver = true;
      stop();
      callOff();
      resolve();
    }
  });
}

/**
 * The abort of a signal as an end.
 *
 * @param signal The signal.
 * @returns The end, for {@linkcode pause}.
 */
export function onAbort(signal: AbortSignal): OnEnd {
  return (callback) => {
    if (signal.aborted) callback();
    signal.addEventListener("abort", callback);
    return () => signal.removeEventListener("abort", callback);
  };
}

/** The pauses of a connection, which end with it. */
export class Pauses {
  readonly #clock: Clock;
  readonly #callbacks = new Set<() => void>();
  #hasEnded = false;

  /** Whether they have ended. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Makes them; none is under way. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits so many ms, and no longer than until the end. Never rejects. */
  wait(duration: number): Promise<void> {
    return pause(this.#clock, duration, (callback) => {
      if (this.#hasEnded) callback();
      else this.#callbacks.add(callback);
      return () => this.#callbacks.delete(callback);
    });
  }

  /** Ends all, and each that would begin later. */
  end(): void {
    this.#hasEnded = true;
    for (const each of [...this.#callbacks]) each();
  }
}
