/** Somebody who waits for messages of some queues. */
interface Waiter {
  readonly queues: ReadonlySet<string>;
  readonly wake: () => void;
}

/** Those of a connection who sleep between two looks at their queues. */
export class Waiting {
  readonly #waiters = new Set<Waiter>();

  /** Wakes those who wait for one of these queues. */
  wake(queues: Iterable<string>): void {
    if (this.#waiters.size === 0) return;
    const woken = new Set(queues);
    for (const { queues, wake } of this.#waiters) {
      for (const queue of queues) {
        if (!woken.has(queue)) continue;
        wake();
        break;
      }
    }
  }

  /** Wakes everyone. */
  wakeAll(): void {
    for (const { wake } of this.#waiters) wake();
  }

  /**
   * Sleeps until it is woken.
   *
   * @param queues Whose messages are waited for.
   * @param arm Sets what else wakes the sleeper; returns how to call that off.
   */
  sleep(
    queues: Iterable<string>,
    arm: (wake: () => void) => () => void,
  ): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        if (!this.#waiters.delete(waiter)) return;
        disarm();
        resolve();
      };
      const waiter: Waiter = { queues: new Set(queues), wake };
      this.#waiters.add(waiter);
      const disarm = arm(wake);
    });
  }
}
