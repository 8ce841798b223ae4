import type { Rate } from "../../async/windows.ts";
import { consumersLeftBy } from "../store/changes.ts";
import type {
  ChangeResult,
  PeekedItem,
  QuarantinedItem,
  Reservation,
  StoredCounts,
  TopologyKey,
  TopologyView,
} from "../store/store.ts";
import { countReady, look, peek, purge, removeStrays } from "./contents.ts";
import { delayedAfter, removeDelayed } from "./delayed.ts";
import type { Holder } from "./holder.ts";
import { messageOf, placeOf, SqlReservation } from "./message.ts";
import { admit, forgetOver } from "./once.ts";
import {
  beat,
  endOwner,
  findDead,
  forgetLate,
  forgetOwner,
  forgetUnknown,
} from "./owners.ts";
import type { Place, Row, Tx, Value } from "./port.ts";
import { putLast } from "./ripening.ts";
import { ASIDE, DELAYED } from "./schema.ts";
import { addUpSizes } from "./sizes.ts";
import type { NumberedQueue, Planned, SqlTables } from "./tables.ts";
import { each, type Verb } from "./works.ts";

/** What the seldom verbs need of a connection. */
export interface AdminParts {
  readonly tables: SqlTables;
  readonly holder: Holder;
  readonly owner: string;
  readonly now: () => number;
}

/** The verbs that are seldom called. */
export class Admin {
  readonly #parts: AdminParts;

  /** Makes them for a connection. */
  constructor(parts: AdminParts) {
    this.#parts = parts;
  }

  /** Gives back what an earlier connection of the owner held; its session consumes again by itself. */
  readonly begin: Verb<{ owner: string; ttl: number }, void> = each(
    async (tx, { owner, ttl }) => {
      const { tables, holder, now } = this.#parts;
      await tables.sync(tx);
      await removeStrays(tx, now());
      await forgetUnknown(tx);
      await forgetOwner(tx, owner, now());
      await beat(tx, owner, now() + ttl);
      await holder.ensure(tx);
      const { topology, version } = tables.view;
      const changes = consumersLeftBy(topology, owner);
      if (changes.length > 0) await tables.apply(tx, { changes, version });
    },
  );

  /** Gives back what the owner holds, and forgets it. */
  readonly end: Verb<string, void> = each(async (tx, owner) => {
    await endOwner(tx, owner);
    await tx.run("DELETE FROM dashi.owners WHERE owner = ?", owner);
  });

  readonly read: Verb<readonly TopologyKey[], TopologyView> = async (
    tx,
    calls,
  ) => {
    const view = await this.#parts.tables.read(tx, calls.flat());
    return calls.map(() => view);
  };

  readonly apply: Verb<Planned, ChangeResult> = each((tx, planned) =>
    this.#parts.tables.apply(tx, planned)
  );

  /** Renews what is held; says what is no longer ours. */
  readonly renew: Verb<readonly Reservation[], readonly Reservation[]> = each(
    async (tx, all) => {
      await this.#parts.holder.renew(tx);
      const { number } = this.#parts.holder;
      return all.filter((each) =>
        each instanceof SqlReservation && each.holder !== number
      );
    },
  );

  readonly beat: Verb<
    { readonly owner: string; readonly ttl: number },
    readonly string[]
  > = each(async (tx, { owner, ttl }) => {
    const now = this.#parts.now();
    const wasDead = await beat(tx, owner, now + ttl);
    await forgetLate(tx, now);
    await forgetOver(tx, now);
    await addUpSizes(tx);
    await this.#parts.tables.sweep(tx);
    const dead = await findDead(tx, now, ttl);
    return wasDead ? [owner, ...dead] : dead;
  });

  readonly admit: Verb<
    { readonly name: string; readonly rate: Rate },
    number
  > = each((tx, { name, rate }) => admit(tx, name, rate, this.#parts.now()));

  readonly count: Verb<string, number | undefined> = each(async (tx, name) => {
    const queue = await this.#find(tx, name);
    return queue && await countReady(tx, queue.number, this.#parts.now());
  });

  readonly purge: Verb<string, number> = each(async (tx, name) => {
    const queue = await this.#find(tx, name);
    return queue === undefined
      ? 0
      : await purge(tx, queue.number, this.#parts.now());
  });

  readonly look: Verb<
    readonly string[],
    readonly (StoredCounts | undefined)[]
  > = each(async (tx, names) => {
    const all: (StoredCounts | undefined)[] = [];
    for (const name of names) {
      const queue = await this.#find(tx, name);
      all.push(queue && await look(tx, queue.number, this.#parts.now()));
    }
    return all;
  });

  readonly peek: Verb<
    { readonly queue: string; readonly max: number },
    readonly PeekedItem[]
  > = each(async (tx, { queue: name, max }) => {
    const queue = await this.#find(tx, name);
    if (queue === undefined) return [];
    const rows = await peek(tx, queue.number, {
      max,
      now: this.#parts.now(),
      ordered: queue.traits.ordered,
    });
    return rows.map((row) => ({
      message: messageOf(row),
      redelivered: Number(row.deliveries) > 0,
      deliveryCount: Number(row.deliveries),
    }));
  });

  /** Cancels a delayed message, or moves it; says whether there was one. */
  readonly changeDelayed: Verb<
    {
      readonly queue: string;
      readonly messageId: string;
      readonly delay: number | undefined;
    },
    boolean
  > = each(async (tx, { queue: name, messageId, delay }) => {
    const queue = await this.#find(tx, name);
    if (queue === undefined) return false;
    const now = this.#parts.now();
    const [row] = await tx.rows(
      `SELECT * FROM dashi.places WHERE queue = ? AND message_id = ?
        AND state = ? AND rank > ? ORDER BY rank, id LIMIT 1`,
      queue.number,
      messageId,
      DELAYED,
      now,
    );
    if (row === undefined) return false;
    const { rank = 0, id = 0, expires_at: expiresAt } = row;
    if (delay === undefined) return await removeDelayed(tx, placeOf(row));
    const dueAt = now + delay;
    await tx.run(
      `UPDATE dashi.places SET rank = ?, expires_at = ?
        WHERE state = ? AND queue = ? AND rank = ? AND id = ?`,
      dueAt,
      typeof expiresAt === "number" ? expiresAt + dueAt - Number(rank) : null,
      DELAYED,
      queue.number,
      rank,
      id,
    );
    tx.soonest = Math.min(tx.soonest, dueAt);
    if (delay <= 0) tx.news.add(queue.number);
    return true;
  });

  readonly delayed: Verb<
    {
      readonly queue: string;
      readonly after: Place;
      readonly limit: number;
    },
    readonly Row[]
  > = each(async (tx, { queue: name, after, limit }) => {
    const queue = await this.#find(tx, name);
    return queue === undefined
      ? []
      : await delayedAfter(tx, queue.number, after, limit);
  });

  readonly removeDelayed: Verb<Place, boolean> = each(removeDelayed);

  readonly listAside: Verb<
    { readonly queue: string; readonly max: number },
    readonly QuarantinedItem[]
  > = each(async (tx, { queue: name, max }) => {
    const queue = await this.#find(tx, name);
    if (queue === undefined) return [];
    const rows = await tx.rows(
      `SELECT p.id, m.head, m.body FROM dashi.places p
        JOIN dashi.messages m ON m.id = p.id
        WHERE p.state = ? AND p.queue = ? ORDER BY p.id LIMIT ?`,
      ASIDE,
      queue.number,
      max,
    );
    return rows.map((row) => ({
      handle: String(row.id),
      message: messageOf(row),
    }));
  });

  /** Puts quarantined messages back, at the end of their queue. */
  readonly putBack: Verb<
    {
      readonly queue: string;
      readonly handles: readonly string[] | undefined;
    },
    number
  > = each(async (tx, { queue: name, handles }) => {
    const queue = await this.#find(tx, name);
    if (queue === undefined) return 0;
    const find = (more: string, ...values: readonly Value[]) =>
      tx.rows(
        `SELECT * FROM dashi.places WHERE state = ? AND queue = ?${more}
          ORDER BY id`,
        ASIDE,
        queue.number,
        ...values,
      );
    const rows: Row[] = [];
    if (handles === undefined) rows.push(...await find(""));
    for (const handle of handles ?? []) {
      rows.push(...await find(" AND id = ?", Number(handle)));
    }
    let count = 0;
    for (const row of rows) {
      if (await putLast(tx, row, queue.traits.ordered)) count++;
    }
    return count;
  });

  async #find(tx: Tx, name: string): Promise<NumberedQueue | undefined> {
    await this.#parts.tables.sync(tx);
    return this.#parts.tables.queue(name);
  }
}
