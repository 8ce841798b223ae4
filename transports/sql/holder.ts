import { addHolder } from "./owners.ts";
import type { Tx } from "./port.ts";

/** The number under which a connection takes messages, for as long as it is heard of. */
export class Holder {
  readonly #owner: string;
  readonly #lease: number;
  readonly #now: () => number;
  /** 0 is nobody's: numbers are above it, and below it those that were given up. */
  #number = 0;
  /** Until when it counts as heard of. */
  #until = -Infinity;

  /** Makes one that has no number; `lease` is how long it counts as heard of, ms. */
  constructor(owner: string, lease: number, now: () => number) {
    this.#owner = owner;
    this.#lease = lease;
    this.#now = now;
  }

  /** The number. What was taken under another is lost. */
  get number(): number {
    return this.#number;
  }

  /** Makes sure that others know the number: if they have given up what it held, it is another from now on. */
  async ensure(tx: Tx): Promise<void> {
    const [known] = await tx.rows(
      "SELECT id FROM dashi.holders WHERE id = ?",
      this.#number,
    );
    if (known === undefined) await this.#renumber(tx);
  }

  /** Sees to it that what is taken now stays until it is renewed for the first time. */
  async refresh(tx: Tx): Promise<void> {
    if (this.#now() + this.#lease / 2 > this.#until) await this.renew(tx);
  }

  /** Says that it is heard of. */
  async renew(tx: Tx): Promise<void> {
    const until = this.#now() + this.#lease;
    const changed = await tx.run(
      "UPDATE dashi.holders SET until = ? WHERE id = ?",
      until,
      this.#number,
    );
    if (changed === 0) await this.#renumber(tx);
    else this.#change(tx, this.#number, until);
  }

  async #renumber(tx: Tx): Promise<void> {
    const until = this.#now() + this.#lease;
    this.#change(tx, await addHolder(tx, this.#owner, until), until);
  }

  #change(tx: Tx, number: number, until: number): void {
    const [numberBefore, untilBefore] = [this.#number, this.#until];
    tx.onFailed.push(() => {
      this.#number = numberBefore;
      this.#until = untilBefore;
    });
    this.#number = number;
    this.#until = until;
  }
}
