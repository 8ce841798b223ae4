import type { Database, FullRow } from "./database.ts";
import type { Draft, Written } from "./records.ts";

/** Puts a message back into its queue. */
export type PutBack = (row: FullRow) => Promise<unknown>;

/** A claim that has failed, and may hold all the same. */
interface Doubt {
  /** The revision that it was to replace. */
  readonly revision: string | undefined;
}

/**
 * Claims whose answers were lost. Such a message may be taken in this connection's name
 * while nobody here has it, and its lease would be renewed with all the others: it is
 * looked at again, and put back.
 */
export class Doubts {
  readonly #database: Database;
  readonly #putBack: PutBack;
  readonly #doubts = new Map<string, Doubt>();

  /** Makes an empty list; `putBack` is called for what was taken for nobody. */
  constructor(database: Database, putBack: PutBack) {
    this.#database = database;
    this.#putBack = putBack;
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#doubts.size === 0;
  }

  /** Writes a claim. */
  async claim(draft: Draft): Promise<Written> {
    const { id, revision } = draft;
    const before = this.#doubts.get(id);
    // Our own claim, while it is under way, is none of nobody's.
    this.#doubts.delete(id);
    let written: Written;
    try {
      written = await this.#database.write(draft);
    } catch (error) {
      this.#doubts.set(id, { revision });
      throw error;
    }
    const isSuperseded = written.type === "written";
    if (before !== undefined && !isSuperseded) this.#doubts.set(id, before);
    return written;
  }

  /** Puts back what was taken in a name, and is not known here. */
  async settle(name: string): Promise<void> {
    if (this.isEmpty) return;
    const asked = [...this.#doubts];
    const action = "look what became of a message";
    const read = await this.#database.read(action, asked.map(([id]) => id));
    const rows = new Map(read.map((row) => [row.id, row]));
    await Promise.all(asked.map(async ([id, doubt]) => {
      if (this.#doubts.get(id) !== doubt) return;
      const row = rows.get(id);
      // It may still be on its way.
      if (row !== undefined && row.revision === doubt.revision) return;
      if (row?.fields.holder === name) await this.#putBack(row);
      this.#doubts.delete(id);
    }));
  }
}
