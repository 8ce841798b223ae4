import { planDeleteQueue } from "../../virtual/declare.ts";
import { ConnectionError } from "../../model/errors.ts";
import type { QueueTraits } from "../../virtual/queue_arguments.ts";
import { Topology, type TopologyChange } from "../../virtual/topology.ts";
import { isNotEmpty, isOfConsumer } from "../store/changes.ts";
import type {
  ChangeResult,
  TopologyKey,
  TopologyView,
} from "../store/store.ts";
import { countReady, deleteQueue, makeQueue } from "./contents.ts";
import type { Row, Tx } from "./port.ts";
import { readRows, unmade, writeRow } from "./topology_rows.ts";

/** Tables that were not read for so long may have missed deletions, ms. Rows of what is gone stay for twice as long. */
const FULL_READ = 3600_000;

/** Uses of a queue within this part of its time are written once. */
const PART = 20;

/** A queue by its number. */
export interface NumberedQueue {
  readonly name: string;
  readonly number: number;
  readonly traits: QueueTraits;
}

/** A change that is to be made, on a view. */
export interface Planned {
  readonly changes: readonly TopologyChange[];
  readonly version: string;
}

/** The shared declarations, as they are in the transaction that is under way. */
export class SqlTables {
  readonly #now: () => number;
  #topology = new Topology();
  #numbers = new Map<string, number>();
  #names = new Map<number, string>();
  /** The change up to which all rows are known; -1: none are. */
  #synced = -1;
  /** Which tables they are; -1: they were not read yet. */
  #born = -1;
  #syncedAt = -Infinity;
  #routes = 0;
  /** Queues that go when nobody uses them, and when they were last used as far as is known. */
  readonly #usedAt = new Map<string, number>();

  /** Makes them unread. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The tables as they were read last. */
  get view(): TopologyView {
    return {
      topology: this.#topology,
      version: String(this.#synced),
      routes: String(this.#routes),
    };
  }

  /** Whether there are queues that go with time. */
  get expire(): boolean {
    return this.#usedAt.size > 0;
  }

  /** Finds a queue. */
  queue(name: string): NumberedQueue | undefined {
    const number = this.#numbers.get(name);
    const traits = this.#topology.queue(name)?.traits;
    return number === undefined || traits === undefined
      ? undefined
      : { name, number, traits };
  }

  /** Finds a queue by its number. */
  numbered(number: number): NumberedQueue | undefined {
    return this.queue(this.#names.get(number) ?? "");
  }

  /** Reads what is new, and drops queues that nobody has used for their time. */
  async sync(tx: Tx): Promise<void> {
    await this.load(tx, undefined, true);
    if (this.#usedAt.size > 0) await this.#dropUnused(tx);
  }

  /** Supposes that nothing is new; says whether it does. */
  suppose(tx: Pick<Tx, "suppose" | "onFailed">): boolean {
    if (this.#synced < 0 || tx.suppose?.(this.#synced, this.#born) !== true) {
      return false;
    }
    const before = this.#syncedAt;
    tx.onFailed.push(() => this.#syncedAt = before);
    this.#syncedAt = this.#now();
    return true;
  }

  /** Reads what is new; `known` is the row of `meta`, where it was read. In a transaction of ours nothing goes back but what somebody has put there. */
  async load(
    tx: Pick<Tx, "rows" | "meta" | "suppose" | "onFailed">,
    known?: Row,
    isOurs = false,
  ): Promise<void> {
    if (known === undefined && this.suppose(tx)) return;
    const now = this.#now();
    const meta = known ?? await tx.meta();
    const born = Number(meta?.one);
    if (meta === undefined || (this.#born >= 0 && this.#born !== born)) {
      throw madeAnew();
    }
    this.#born = born;
    const changes = Number(meta.changes);
    if (isOurs && changes < this.#synced) this.#forget();
    // A transaction of the caller's may see less than was seen before.
    if (changes <= this.#synced) {
      this.#syncedAt = now;
      return;
    }
    if (this.#synced < 0 || now - this.#syncedAt > FULL_READ) this.#forget();
    const from = this.#synced;
    // What is read here may be undone.
    tx.onFailed.push(() => this.#synced = -1);
    const rows = await tx.rows(
      `SELECT id, gone, fields FROM dashi.topology WHERE at > ?${
        from < 0 ? " AND gone IS NULL" : ""
      } ORDER BY at`,
      from,
    );
    // What is gone goes first, and from the last to the first of what needs another.
    const stored = readRows(rows);
    for (const { isGone, made } of stored.toReversed()) {
      if (isGone) this.#apply(unmade(made));
    }
    for (const { isGone, made, number } of stored) {
      if (isGone) continue;
      this.#apply(made);
      if (made.type === "queue-declared") this.#number(made.queue.name, number);
    }
    this.#synced = changes;
    this.#routes = Number(meta.routes);
    this.#syncedAt = now;
  }

  /** Reads the tables; a queue that is asked for counts as used. */
  async read(
    tx: Tx,
    keys: readonly TopologyKey[],
  ): Promise<TopologyView> {
    await this.sync(tx);
    for (const { type, name, uses = true } of keys) {
      if (type === "queue" && uses) await this.#use(tx, name);
    }
    return this.view;
  }

  /** Makes changes that were planned on a view. */
  async apply(
    tx: Tx,
    { changes, version }: Planned,
  ): Promise<ChangeResult> {
    await this.sync(tx);
    if (version !== String(this.#synced)) return { type: "stale" };
    const count = async (name: string) => {
      const queue = this.queue(name);
      return queue && await countReady(tx, queue.number, this.#now());
    };
    if (await isNotEmpty(changes, count)) return { type: "not-empty" };
    return { type: "applied", messageCount: await this.#write(tx, changes) };
  }

  /** Drops those whose time is over, keeps those that are consumed from, and forgets what went long ago. */
  async sweep(tx: Tx): Promise<void> {
    await this.sync(tx);
    await tx.run(
      "DELETE FROM dashi.topology WHERE gone < ?",
      this.#now() - 2 * FULL_READ,
    );
  }

  #forget(): void {
    this.#topology = new Topology();
    this.#numbers = new Map();
    this.#names = new Map();
    this.#usedAt.clear();
    this.#synced = -1;
  }

  #apply(change: TopologyChange): void {
    this.#topology.apply(change);
    if (change.type !== "queue-deleted") return;
    this.#names.delete(this.#numbers.get(change.name) ?? -1);
    this.#numbers.delete(change.name);
    this.#usedAt.delete(change.name);
  }

  #number(name: string, number: number): void {
    this.#names.delete(this.#numbers.get(name) ?? -1);
    this.#numbers.set(name, number);
    this.#names.set(number, name);
    const expires = this.#topology.queue(name)?.traits.expires;
    if (expires === undefined) this.#usedAt.delete(name);
    else if (!this.#usedAt.has(name)) this.#usedAt.set(name, -Infinity);
  }

  async #use(tx: Tx, name: string): Promise<void> {
    const expires = this.queue(name)?.traits.expires;
    const known = this.#usedAt.get(name);
    const now = this.#now();
    if (expires === undefined || known === undefined) return;
    if (now - known >= expires / PART) await this.#noteUse(tx, name, now);
  }

  async #dropUnused(tx: Tx): Promise<void> {
    const now = this.#now();
    const late = await tx.rows(
      `SELECT name FROM dashi.queues
        WHERE expires IS NOT NULL AND used_at + expires <= ?`,
      now,
    );
    for (const row of late) {
      const name = String(row.name);
      const record = this.#topology.queue(name);
      if (record === undefined || record.consumers.length > 0) {
        await this.#noteUse(tx, name, now);
        continue;
      }
      const how = { name, ifUnused: false, ifEmpty: false };
      const owner = record.owner ?? "";
      await this.#write(tx, planDeleteQueue(this.#topology, how, owner));
      await this.load(tx);
    }
  }

  async #write(
    tx: Tx,
    changes: readonly TopologyChange[],
  ): Promise<number> {
    if (changes.length === 0) return 0;
    const at = this.#synced + 1;
    let messageCount = 0;
    const concernsRoutes = !changes.every(isOfConsumer);
    for (const change of changes) {
      let number = 0;
      if (change.type === "queue-declared") {
        number = await makeQueue(tx, change.queue, this.#now());
      } else if (change.type === "queue-deleted") {
        messageCount += await this.#deleteQueue(tx, change.name, at);
      } else if (change.type === "consumer-removed") {
        // From now on nobody uses it.
        await this.#noteUse(tx, change.queue, this.#now());
      }
      await writeRow(tx, change, { at, number, now: this.#now() });
    }
    await tx.run(
      `UPDATE dashi.meta SET changes = ?${
        concernsRoutes ? ", routes = ?" : ""
      }`,
      ...concernsRoutes ? [at, at] : [at],
    );
    // A queue that is gone has news for its consumers.
    tx.news.add(0);
    return messageCount;
  }

  /** Its consumers go with it: one of its name has its own. */
  async #deleteQueue(tx: Tx, name: string, at: number): Promise<number> {
    const queue = this.queue(name);
    if (queue === undefined) return 0;
    const now = this.#now();
    for (const consumer of this.#topology.queue(name)?.consumers ?? []) {
      const change = {
        type: "consumer-removed",
        queue: name,
        consumer,
      } as const;
      await writeRow(tx, change, { at, number: 0, now });
    }
    return await deleteQueue(tx, queue.number, now);
  }

  async #noteUse(tx: Tx, name: string, now: number): Promise<void> {
    if (!this.#usedAt.has(name)) return;
    this.#usedAt.set(name, now);
    await tx.run(
      "UPDATE dashi.queues SET used_at = ? WHERE name = ?",
      now,
      name,
    );
  }
}

/** A connection that begins anew makes what is missing, and declares it again. */
function madeAnew(): ConnectionError {
  return new ConnectionError(
    "Cannot read the declarations: the tables were emptied, or made anew",
    { code: "connection-lost", outcome: "not-sent" },
  );
}
