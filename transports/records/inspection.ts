import type { CallOptions } from "../../model/call_options.ts";
import { secondsSince } from "../store/inspection.ts";
import type {
  InspectionStore,
  PeekedItem,
  StoredCounts,
} from "../store/store.ts";
import type { Database } from "./database.ts";
import {
  isOrphan,
  isReady,
  type MessageId,
  rangeOf,
  readMessageId,
} from "./ids.ts";
import { deliveriesOf, messageOf } from "./reservation.ts";
import type { Tables } from "./tables.ts";

/** So many messages are read at once: each may be as large as a record can be. */
const AT_ONCE = 50;

/** A message that is ready: its id, and what that says. */
interface Ready {
  readonly id: string;
  readonly message: MessageId;
}

/** Looks into queues: to count one is to read the names of all that is in it. */
export class RecordsInspection implements InspectionStore {
  readonly #database: Database;
  readonly #topology: Tables;

  /** Makes one over a database. */
  constructor(database: Database, topology: Tables) {
    this.#database = database;
    this.#topology = topology;
  }

  async look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly (StoredCounts | undefined)[]> {
    const all: (StoredCounts | undefined)[] = [];
    for (const queue of queues) {
      all.push(
        this.#topology.view.topology.queue(queue) === undefined
          ? undefined
          : await this.#look(queue, options),
      );
    }
    return all;
  }

  async peek(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[]> {
    const action = `peek at queue "${queue}"`;
    const ids: string[] = [];
    for await (const page of this.#pages(queue, action, options)) {
      ids.push(...page.ready.map(({ id }) => id));
      if (ids.length >= max) break;
    }
    const wanted = ids.slice(0, max);
    const found: PeekedItem[] = [];
    for (let from = 0; from < wanted.length; from += AT_ONCE) {
      const some = wanted.slice(from, from + AT_ONCE);
      const rows = await this.#database.read(action, some, options);
      const byId = new Map(rows.map((row) => [row.id, row]));
      for (const id of some) {
        const row = byId.get(id);
        if (row === undefined || !isReady(row.revision)) continue; // taken meanwhile
        const deliveryCount = deliveriesOf(row.fields);
        const redelivered = deliveryCount > 0;
        found.push({ message: messageOf(row), redelivered, deliveryCount });
      }
    }
    return found;
  }

  async #look(queue: string, options?: CallOptions): Promise<StoredCounts> {
    let [ready, delayed, unacked] = [0, 0, 0];
    let first: number | undefined;
    const action = `look at queue "${queue}"`;
    for await (const page of this.#pages(queue, action, options)) {
      first ??= page.ready[0]?.message.time;
      ready += page.ready.length;
      delayed += page.delayed;
      unacked += page.unacked;
    }
    return {
      ready,
      delayed,
      unacked,
      oldestAge: secondsSince(first, this.#database.now()),
      bytes: undefined,
    };
  }

  /** Goes through a queue in the order of its messages. */
  async *#pages(
    queue: string,
    action: string,
    options?: CallOptions,
  ): AsyncIterable<{
    readonly ready: readonly Ready[];
    readonly delayed: number;
    readonly unacked: number;
  }> {
    const { born } = this.#topology.traits(queue);
    const range = rangeOf(queue);
    for await (const page of this.#database.pages(action, range, options)) {
      const now = this.#database.now();
      const ready: Ready[] = [];
      let [delayed, unacked] = [0, 0];
      for (const { id, revision } of page) {
        const message = readMessageId(id);
        if (isOrphan(message, born)) continue;
        if (!isReady(revision)) unacked++;
        else if (message.delayed && message.time > now) delayed++;
        else if (message.expires > now) ready.push({ id, message });
      }
      yield { ready, delayed, unacked };
    }
  }
}
