import type { QueueDeclaration } from "../../model/queue.ts";
import type { Database } from "./database.ts";
import { nameOf } from "./ids.ts";
import type { SharedTopology } from "./topology.ts";

/** Uses within this part of a queue's time are written once. */
const PART = 20;

/** By how much a queue may outlive its time, ms: requests take theirs. */
const GRACE = 500;

/** When queues that go with time were last used: a record for each. */
export class Usage {
  readonly #database: Database;
  readonly #topology: SharedTopology;
  /** As it was last written or read, ms since 1970. */
  readonly #usedAt = new Map<string, number>();

  /** Makes one over a database. */
  constructor(database: Database, topology: SharedTopology) {
    this.#database = database;
    this.#topology = topology;
  }

  /** Notes that a queue is used, if it is one that goes when it is not. */
  async use(queue: string): Promise<void> {
    const { expiring } = this.#topology;
    const declared = expiring.find(({ name }) => name === queue);
    if (declared === undefined) return;
    const now = this.#database.now();
    const known = this.#usedAt.get(queue) ?? -Infinity;
    if (now - known < ttlOf(declared) / PART) return;
    this.#usedAt.set(queue, now);
    await this.#write(queue, now);
  }

  /** Forgets a queue that was deleted. */
  async forget(queue: string): Promise<void> {
    if (!this.#usedAt.delete(queue)) return;
    const action = `delete queue "${queue}"`;
    const [row] = await this.#database.read(action, [idOf(queue)]);
    if (row !== undefined) await this.#database.remove(action, row);
  }

  /** Finds the queues that nobody has used for their time. */
  async findUnused(): Promise<readonly string[]> {
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
    );
    const told = new Map(rows.map(({ id, fields }) => [id, fields.usedAt]));
    for (const { name } of suspects) {
      const usedAt = told.get(idOf(name));
      if (typeof usedAt === "number") this.#usedAt.set(name, usedAt);
      else await this.use(name);
    }
    return suspects.filter(isLate).map(({ name }) => name);
  }

  async #write(queue: string, usedAt: number): Promise<void> {
    const id = idOf(queue);
    const action = `use queue "${queue}"`;
    const [row] = await this.#database.read(action, [id]);
    const revision = row?.revision;
    // A conflict: another connection uses it now.
    await this.#database.write({ id, revision, fields: { usedAt }, action });
  }
}

function idOf(queue: string): string {
  return `u/${nameOf(queue)}`;
}

function ttlOf({ arguments: { "x-expires": expires } }: QueueDeclaration) {
  return typeof expires === "number" ? expires : Infinity;
}
