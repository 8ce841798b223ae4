/**
 * The server's time. Leases, delays and times to live are compared by many
 * machines, so one clock must count: our own, moved to where the server's `Date`
 * headers say that it must be. They tell whole seconds only, so a clock that is
 * kept in time is not moved at all.
 */
export class ServerTime {
  readonly #wall: () => number;
  #least = -Infinity;
  #most = Infinity;

  /** Starts with our own time, ms since 1970. */
  constructor(wall: () => number) {
    this.#wall = wall;
  }

  /** Our own time. */
  wall(): number {
    return this.#wall();
  }

  /** The server's time, as far as we know. */
  now(): number {
    return this.#wall() + this.#offset;
  }

  /** Learns from a response's `Date`, and when by our own time its request left. */
  observe(date: string | null, sent: number): void {
    const told = date === null ? NaN : Date.parse(date);
    if (Number.isNaN(told)) return;
    // Somewhere in between, it was somewhere in that second.
    const [least, most] = [told - this.#wall(), told + 1000 - sent];
    this.#least = Math.max(this.#least, least);
    this.#most = Math.min(this.#most, most);
    if (this.#least <= this.#most) return;
    // A clock was set: only the last answer counts.
    [this.#least, this.#most] = [least, most];
  }

  get #offset(): number {
    if (this.#least > 0) return this.#least;
    return this.#most < 0 ? this.#most : 0;
  }
}
