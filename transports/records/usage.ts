import type { CallOptions } from "../../model/call_options.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { Database } from "./database.ts";
import { nameOf } from "./ids.ts";
import type { Tables } from "./tables.ts";

/** Uses within this part of a queue's time are written once. */
const PART = 20;

/** By how much a queue may outlive its time, ms: requests take theirs. */
const GRACE = 500;

/** When queues that go with time were last used: a record for each. */
export class Usage {
  readonly #database: Database;
  readonly #topology: Tables;
  /** As it was last written or read, ms since 1970. */
  readonly #usedAt = new Map<string, number>();

  /** Makes one over a database. */
  constructor(database: Database, topology: Tables) {
    this.#database = database;
    this.#topology = topology;
  }

  /** Notes that a queue is used, if it is one that goes when it is not. */
  async use(queue: string, options?: CallOptions): Promise<void> {
    const { expiring } = this.#topology;
    const declared = expiring.find(({ name }) => name === queue);
    if (declared === undefined) return;
    const now = this.#database.now();
    const known = this.#usedAt.get(queue) ?? -Infinity;
    if (now - known < ttlOf(declared) / PART) return;
    this.#usedAt.set(queue, now);
    await this.#write(queue, now, options);
  }

  /** Forgets a queue that was deleted. */
  async forget(queue: string, options?: CallOptions): Promise<void> {
    if (!this.#usedAt.delete(queue)) return;
    const action = `delete queue "${queue}"`;
    const ids = [idOf(queue)];
    const [row] = await this.#database.read(action, ids, options);
    if (row !== undefined) await this.#database.remove(action, row, options);
  }

  /** Finds the queues that nobody has used for their time. */
  async findUnused(options?: CallOptions): Promise<readonly string[]> {
    const { expiring, view } = this.#topology;
    const now = this.#database.now();
    const isLate = (each: QueueDeclaration) =>
      now - (this.#usedAt.get(each.name) ?? -Infinity) >
        ttlOf(each) * (1 + 1 / PART) + GRACE;
    const suspects = expiring.filter((each) =>
      isLate(each) && view.topology.queue(each.name)?.consumers.length === 0
    );
    if (suspects.length === 0) return [];
    // Others may have used them since.
    const rows = await this.#database.read(
      "look which queues are used",
      suspects.map(({ name }) => idOf(name)),
      options,
    );
    const told = new Map(rows.map(({ id, fields }) => [id, fields.usedAt]));
    for (const { name } of suspects) {
      const usedAt = told.get(idOf(name));
      if (typeof usedAt === "number") this.#usedAt.set(name, usedAt);
      else await this.use(name, options);
    }
    return suspects.filter(isLate).map(({ name }) => name);
  }

  async #write(
    queue: string,
    usedAt: number,
    options?: CallOptions,
  ): Promise<void> {
    const id = idOf(queue);
    const action = `use queue "${queue}"`;
    const [row] = await this.#database.read(action, [id], options);
    const revision = row?.revision;
    // A conflict: another connection uses it now.
    const draft = { id, revision, fields: { usedAt }, action };
    await this.#database.write(draft, options);
  }
}

function idOf(queue: string): string {
  return `u/${nameOf(queue)}`;
}

function ttlOf({ arguments: { "x-expires": expires } }: QueueDeclaration) {
  return typeof expires === "number" ? expires : Infinity;
}
