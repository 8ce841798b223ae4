import type { Clock } from "./clock.ts";
import type { Limits } from "./limits.ts";

/** A call that waits for news of some names. */
export interface Listener {
  /** The names: queues, say. */
  readonly names: ReadonlySet<string>;
  /** Whether something was told of them since it last looked. */
  isNotified: boolean;
  /** Ends its sleep. */
  wake: (() => void) | undefined;
}

/**
 * Notifies calls that wait: a notification while one of them looks ends its next
 * sleep at once, so that nothing is missed between a look and a sleep.
 */
export class Notifier {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #listeners = new Set<Listener>();
  #onEmpty: (() => void) | undefined;

  /** Makes one to which nobody listens; `limits` watches the sleeps. */
  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Whether nobody listens. */
  get isIdle(): boolean {
    return this.#listeners.size === 0;
  }

  /** Whether a call listens to a name. */
  hears(name: string): boolean {
    for (const { names } of this.#listeners) if (names.has(name)) return true;
    return false;
  }

  /** Begins to listen: {@linkcode leave} ends it. */
  enter(names: Iterable<string>): Listener {
    const listener: Listener = {
      names: new Set(names),
      isNotified: false,
      wake: undefined,
    };
    this.#listeners.add(listener);
    return listener;
  }

  /** Listens no more. */
  leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.isIdle) this.#onEmpty?.();
  }

  /** Waits until all have left. */
  async empty(): Promise<void> {
    if (this.isIdle) return;
    await new Promise<void>((resolve) => this.#onEmpty = resolve);
  }

  /**
   * Waits for a notification, or until a time has passed.
   *
   * @param listener The call.
   * @param time Milliseconds, at most.
   * @param signal Ends it, with its reason.
   */
  sleep(
    listener: Listener,
    time: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (listener.isNotified) return resolve();
      if (signal?.aborted) return reject(signal.reason);
      const deadline = this.#clock.now() + Math.max(1, Math.ceil(time));
      const unwatch = this.#limits.watch({ signal, deadline }, (reason) => {
        listener.wake = undefined;
        if (reason !== undefined) reject(reason.aborted);
        else resolve();
      });
      listener.wake = () => {
        listener.wake = undefined;
        unwatch();
        resolve();
      };
    });
  }

  /** Tells that something may have come of a name. */
  notify(name: string): void {
    for (const listener of this.#listeners) {
      if (listener.names.has(name)) wake(listener);
    }
  }

  /** Tells that something may have come of any name. */
  notifyAll(): void {
    for (const listener of this.#listeners) wake(listener);
  }
}

function wake(listener: Listener): void {
  listener.isNotified = true;
  listener.wake?.();
}
