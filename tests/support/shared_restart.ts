/** One restart of a server for many cases at once: RabbitMQ's costs four seconds of a processor. */
export class SharedRestart {
  readonly #restart: () => Promise<void>;
  readonly #asked: PromiseWithResolvers<void>[] = [];
  #present: number;

  /**
   * Makes one.
   *
   * @param present How many are to ask, or to leave.
   * @param restart Restarts the server.
   */
  constructor(present: number, restart: () => Promise<void>) {
    this.#present = present;
    this.#restart = restart;
  }

  /** Restarts the server when all who have not left have asked; resolves when it is there again. */
  ask(): Promise<void> {
    const asking = Promise.withResolvers<void>();
    this.#asked.push(asking);
    this.#look();
    return asking.promise;
  }

  /** One of them has ended, and asks no more: nobody waits for it. */
  leave(): void {
    this.#present--;
    this.#look();
  }

  #look(): void {
    if (this.#asked.length === 0 || this.#asked.length < this.#present) return;
    const asked = this.#asked.splice(0);
    this.#restart().then(
      () => asked.forEach(({ resolve }) => resolve()),
      (error) => asked.forEach(({ reject }) => reject(error)),
    );
  }
}
