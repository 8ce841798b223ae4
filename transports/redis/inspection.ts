import { parseJson } from "../../codec/mod.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Topology } from "../../virtual/topology.ts";
import { secondsSince } from "../store/inspection.ts";
import type {
  InspectionStore,
  PeekedItem,
  StoredCounts,
} from "../store/store.ts";
import type { Context } from "./context.ts";
import type { Fanout } from "./fanout.ts";
import { bindingSets } from "./foreign_queues.ts";
import { decode, listOf, type RedisReply } from "./reply.ts";
import { walk } from "./declared/scanning.ts";
import { readStored } from "./stored.ts";
import type { Tables } from "./tables.ts";

/** The bindings of so many exchanges are read in one script: some milliseconds. */
const AT_ONCE = 50;

/** So many messages are read in one command: they may be large. */
const PAGE = 20;

const ACTION = "look at queues";

/**
 * Looks into the queues of a server, by scripts of a few milliseconds each. Queues that
 * no process of ours has declared are found by Kombu's bindings.
 */
export class RedisInspection implements InspectionStore {
  readonly #context: Context;
  readonly #tables: Tables;
  readonly #fanout: Fanout;

  /** Makes one over a connection. */
  constructor(context: Context, tables: Tables, fanout: Fanout) {
    this.#context = context;
    this.#tables = tables;
    this.#fanout = fanout;
  }

  /** The sets of bindings name the exchanges and queues of other programs, too. */
  async tables(options?: CallOptions): Promise<Topology> {
    await this.#tables.read({ type: "owner", name: "" }, options);
    const { mirror, layout } = this.#context;
    const names = new Set<string>();
    for (const { declaration } of mirror.topology.exchanges()) {
      names.add(declaration.name);
    }
    const action = "list the exchanges";
    for await (const keys of bindingSets(this.#context, action, options)) {
      for (const key of keys ?? []) {
        names.add(key.slice(layout.bindings("").length));
      }
    }
    const all = [...names].map((name) => ({ type: "exchange", name } as const));
    for (let from = 0; from < all.length; from += AT_ONCE) {
      const some = all.slice(from, from + AT_ONCE);
      await this.#tables.readTogether(some, options);
    }
    return mirror.topology;
  }

  async look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly (StoredCounts | undefined)[]> {
    const now = this.#context.clock.wall();
    const found = await this.#context.runList("look", ACTION, queues, options);
    return queues.map((queue, i) => {
      const [ready, delayed, bytes, timestamp] = listOf(found[i] ?? []);
      const put = decode(timestamp);
      return {
        ready: Number(ready) < 0
          ? undefined
          : Number(ready) + this.#fanout.count(queue),
        delayed: Number(delayed),
        unacked: undefined, // `tally` has them
        oldestAge: secondsSince(
          put === "" ? undefined : Number(put) * 1000,
          now,
        ),
        bytes: Number(bytes) < 0 ? undefined : Number(bytes),
      };
    });
  }

  /** Counts what was taken by consumers of ours, and what Kombu's took of the default exchange. */
  async tally(options?: CallOptions): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    for (const place of this.#context.places()) {
      const of = { ...options, queueOf: () => place };
      const pieces = walk((cursor) =>
        this.#context.runList("tally", "count unacked messages", [cursor], of)
      );
      for await (const tails of pieces) {
        for (let i = 0; i < tails.length; i += 2) {
          const queue = queueIn(decode(tails[i]));
          if (queue === undefined) continue;
          counts.set(queue, (counts.get(queue) ?? 0) + Number(tails[i + 1]));
        }
      }
    }
    return counts;
  }

  async peek(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[]> {
    const { mirror, serverNow } = this.#context;
    const found: PeekedItem[] = [];
    const add = (each: RedisReply) => {
      if (!(each instanceof Uint8Array) || found.length >= max) return;
      const { expiresAt, ...item } = readStored(each);
      if (expiresAt > serverNow) found.push(item);
    };
    const action = `peek at queue "${queue}"`;
    if (mirror.traitsOf(queue).ordered) {
      const args = [queue, max];
      const texts = await this.#context.runList(
        "peekOrdered",
        action,
        args,
        options,
      );
      texts.forEach(add);
    }
    for (const list of this.#context.layout.lists(queue)) {
      for (let last = -1; found.length < max; last -= PAGE) {
        const page = listOf(
          await this.#context.commands.send(action, [
            ...["LRANGE", list, last - PAGE + 1, last] as const,
          ], options),
        );
        page.toReversed().forEach(add);
        if (page.length < PAGE) break;
      }
    }
    return found;
  }
}

/** The queue that an entry names: the key of the default exchange. */
function queueIn(tail: string): string | undefined {
  try {
    const [exchange, queue] = Object(parseJson(`[${tail}]`));
    return exchange === "" && typeof queue === "string" ? queue : undefined;
  } catch {
    return undefined; // another program's
  }
}
