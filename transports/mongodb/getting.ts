import type { Reservation } from "../store/store.ts";

/** One who wants messages that are there, and does not wait for others. */
interface Getter {
  readonly limit: number;
  readonly isOver: () => boolean;
  readonly resolve: (taken: readonly Reservation[]) => void;
  readonly reject: (error: unknown) => void;
}

/** What getting needs of whoever claims. */
export interface GettingHost {
  /** Takes so many messages that are there. */
  take(queue: string, limit: number): Promise<readonly Reservation[]>;
  /** Gives back what nobody is left to have. */
  giveBack(taken: readonly Reservation[]): Promise<void>;
}

/**
 * Gets messages for those who do not wait: who asks while others of a queue are
 * served is served after them, and those who ask at once by one claim.
 */
export class Getting {
  readonly #host: GettingHost;
  readonly #getters = new Map<string, Getter[]>();

  /** Makes it for one connection. */
  constructor(host: GettingHost) {
    this.#host = host;
  }

  /** Takes messages, if there are any; `isOver` says that nobody wants them any more. */
  get(
    queue: string,
    limit: number,
    isOver: () => boolean,
  ): Promise<readonly Reservation[]> {
    return new Promise((resolve, reject) => {
      const getter = { limit, isOver, resolve, reject };
      const getters = this.#getters.get(queue);
      if (getters !== undefined) getters.push(getter);
      else {
        const first = [getter];
        this.#getters.set(queue, first);
        queueMicrotask(() => this.#serve(queue, first));
      }
    });
  }

  /** Never rejects: what fails is told to those who wait for it. */
  async #serve(queue: string, getters: Getter[]): Promise<void> {
    while (getters.length > 0) {
      const served = getters.splice(0, 1000);
      try {
        await this.#serveAll(queue, served);
      } catch (error) {
        for (const { reject } of served) reject(error);
      }
    }
    this.#getters.delete(queue);
  }

  async #serveAll(queue: string, getters: readonly Getter[]): Promise<void> {
    let left = getters.reduce((sum, { limit }) => sum + limit, 0);
    const taken: Reservation[] = [];
    while (left > 0) {
      const found = await this.#host.take(queue, left);
      if (found.length === 0) break;
      taken.push(...found);
      left -= found.length;
    }
    for (const { limit, isOver, resolve } of getters) {
      resolve(isOver() ? [] : taken.splice(0, limit));
    }
    if (taken.length > 0) await this.#host.giveBack(taken);
  }
}
