import { addHolder } from "./owners.ts";
import type { Tx } from "./port.ts";

/** The number under which a connection takes messages, for as long as it is heard of. */
export class Holder {
  readonly #owner: string;
  readonly #lease: number;
  readonly #now: () => number;
  #number = -1;

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

  /** Says that it is heard of. */
  async renew(tx: Tx): Promise<void> {
    const changed = await tx.run(
      "UPDATE dashi.holders SET until = ? WHERE id = ?",
      this.#now() + this.#lease,
      this.#number,
    );
    if (changed === 0) await this.#renumber(tx);
  }

  async #renumber(tx: Tx): Promise<void> {
    const before = this.#number;
    tx.onFailed.push(() => this.#number = before);
    const until = this.#now() + this.#lease;
    this.#number = await addHolder(tx, this.#owner, until);
  }
}
