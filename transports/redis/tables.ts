import { planDeleteQueue } from "../../virtual/declare.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import { AccessRefusedError, ChannelError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type {
  ChangeResult,
  TopologyKey,
  TopologyView,
} from "../store/store.ts";
import { Batcher } from "../../async/batcher.ts";
import { notAnswered } from "../connection_errors.ts";
import { decode, listOf, type RedisReply } from "./reply.ts";
import {
  type Context,
  formatVersion,
  versionAfter,
  versionArguments,
  versionIn,
} from "./context.ts";
import type { Versions } from "./layout.ts";
import { mendInPieces, pairs, scan } from "./declared/scanning.ts";
import { useQueues } from "./usage.ts";
import {
  applyArguments,
  bindingsFirst,
  inPieces,
} from "./declared/write_pieces.ts";
import type { Writes } from "./declared/writes.ts";

/** So many views are brought up to date in one script. */
const READ_AT_ONCE = 100;
const READ_ACTION = "read the declarations";

/** Reads and changes the declarations in the database. */
export class Tables {
  readonly #context: Context;
  /** Of each call on its way, the exchanges whose sets have changed since it left. */
  readonly #underWay = new Set<Set<string>>();
  #first: Promise<unknown> | undefined;
  readonly #rings: boolean;
  readonly #reads: Batcher<TopologyKey, TopologyView>;

  /** Makes one over the mirror of a connection; `rings` says whether the server notifies of changes. */
  constructor(context: Context, rings: boolean) {
    this.#context = context;
    this.#rings = rings;
    this.#reads = new Batcher({
      limits: context.limits,
      count: READ_AT_ONCE,
      atOnce: Infinity,
      actionOf: () => READ_ACTION,
      late: () => notAnswered(READ_ACTION, "unknown"),
      send: async (all, options) => {
        try {
          await this.#bring(all, options);
        } catch (error) {
          // One of them may be at fault: each is to fail by its own.
          const isTheirs = error instanceof ChannelError && !error.retryable;
          if (all.length === 1 || !isTheirs) throw error;
          return all.map((each) => this.readTogether([each], options));
        }
        return all.map((each) => this.#viewOf([each]));
      },
    });
  }

  /** Brings the mirror up to date as far as `of` reaches: those of one turn in one script. */
  read(of: TopologyKey, options?: CallOptions): Promise<TopologyView> {
    try {
      this.#check(of);
      return this.#reads.add(of, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Brings the mirror up to date as far as any of `all` reaches. */
  async readTogether(
    all: readonly TopologyKey[],
    options?: CallOptions,
  ): Promise<TopologyView> {
    for (const each of all) this.#check(each);
    await this.#bring(all, options);
    return this.#viewOf(all);
  }

  #check({ type, name }: TopologyKey): void {
    const { layout } = this.#context;
    if (type !== "queue" || !layout.isReserved(name)) return;
    const why = layout.hasSlot(name)
      ? "its key is kept for something else"
      : 'no queue of a cluster has a name that begins with "}", for the name stands in the braces that say in which slot its keys are';
    throw new AccessRefusedError(
      `Cannot use "${name}" as a queue: ${why}; use another name`,
      { outcome: "not-sent" },
    );
  }

  /** The view of the tables around some keys, with the marks that a change or a put is checked by. */
  #viewOf(all: readonly TopologyKey[]): TopologyView {
    const { mirror } = this.#context;
    const exchanges = mirror.around(all);
    return {
      topology: mirror.topology,
      version: formatVersion(mirror, exchanges, mirror.version),
      routes: formatVersion(mirror, exchanges, mirror.routes),
    };
  }

  async #bring(
    all: readonly TopologyKey[],
    options: CallOptions | undefined,
  ): Promise<void> {
    const { mirror } = this.#context;
    if (mirror.version === "") await this.#readFirst(options?.deadline);
    for (;;) {
      const asked = mirror.around(all);
      const unused = await this.#read(asked, options);
      if (unused.length > 0) {
        await this.#dropUnused(unused, options);
        continue;
      }
      // The exchanges that were read may lead to more.
      const exchanges = mirror.around(all);
      if (exchanges.every((each) => mirror.sizeOf(each) >= 0)) return;
    }
  }

  /** Reads all declarations, once for all calls at the same time. */
  async #readFirst(deadline: number | undefined): Promise<void> {
    this.#first ??= this.#read([], { deadline })
      .finally(() => this.#first = undefined);
    try {
      await this.#first;
    } catch {
      // It was another's call: each finds by its own what is wrong.
    }
  }

  /** Returns the queues that nobody has used for their time. */
  async #read(
    exchanges: readonly string[],
    options?: CallOptions,
  ): Promise<readonly string[]> {
    const { mirror, layout } = this.#context;
    const { told } = this.#context;
    const { reply, changed } = await this.#run(
      "read",
      "read the declarations",
      [
        mirror.version,
        ...exchanges.flatMap((each) => [each, mirror.sizeOf(each)]),
      ],
      {
        ...options,
        watched: [
          layout.topology,
          ...exchanges.map((each) => layout.bindings(each)),
        ],
      },
    );
    const [version, which, fields, unused, routes, ...sets] = listOf(reply);
    const versions = { version: decode(version), routes: decode(routes) };
    // A notification that came meanwhile may be younger than the answer.
    this.#context.fresh = this.#rings && this.#context.told === told;
    switch (decode(which)) {
      case "all":
        mirror.readAll(versions, pairs(fields));
        // The sizes that were reported were those of another time.
        return [];
      case "many":
        await this.#readMany(versions, options);
        // Reads the changes that others made meanwhile.
        return await this.#read([], options);
      case "some":
        mirror.readSome(versions, pairs(fields));
    }
    exchanges.forEach((exchange, i) => {
      const members = sets[i];
      if (Array.isArray(members)) {
        mirror.readSet(exchange, members.map(decode));
      }
    });
    for (const exchange of changed) mirror.doubt(exchange);
    for (const [i, exchange] of exchanges.entries()) {
      const size = sets[i];
      if (typeof size !== "number") continue;
      if (size < 0) await mendInPieces(this.#context, exchange, options);
      await this.#readSet(exchange, options);
    }
    return Array.isArray(unused) ? unused.map(decode) : [];
  }

  /** Reads the whole hash in pieces: later changes are in the list of changes. */
  async #readMany(versions: Versions, options?: CallOptions): Promise<void> {
    const { mirror, layout } = this.#context;
    const fields: [string, string][] = [];
    const pages = scan(this.#context, "HSCAN", layout.topology, options);
    for await (const page of pages) fields.push(...pairs(page));
    this.#context.fresh = false;
    mirror.readAll(versions, fields);
  }

  /** Reads a whole set in pieces. */
  async #readSet(exchange: string, options?: CallOptions): Promise<void> {
    const { mirror, layout } = this.#context;
    const changed = new Set<string>();
    const found = new Set<string>();
    this.#underWay.add(changed);
    try {
      const key = layout.bindings(exchange);
      for await (const page of scan(this.#context, "SSCAN", key, options)) {
        for (const member of page) found.add(decode(member));
      }
    } finally {
      this.#underWay.delete(changed);
    }
    mirror.readSet(exchange, [...found]);
    if (changed.has(exchange)) mirror.doubt(exchange);
  }

  /** Runs a script; what the server tells of sets meanwhile may be older than the answer, or newer. */
  async #run(
    name: "read" | "apply",
    action: string,
    args: readonly (string | number)[],
    options: Parameters<Context["run"]>[3],
  ): Promise<{
    readonly reply: RedisReply;
    readonly changed: ReadonlySet<string>;
  }> {
    const { mirror } = this.#context;
    const changed = new Set<string>();
    this.#underWay.add(changed);
    try {
      const reply = await this.#context.run(name, action, args, options);
      return { reply, changed };
    } catch (error) {
      // It may have been made: what we know of the tables may be old.
      this.#context.tell();
      if (name === "apply") mirror.doubtAll();
      throw error;
    } finally {
      this.#underWay.delete(changed);
    }
  }

  /** Queues go that were declared with `x-expires`; those with consumers are used. */
  async #dropUnused(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<void> {
    const { mirror, commands, layout } = this.#context;
    for (const name of queues) {
      const record = mirror.topology.queue(name);
      // As by a consumer that has not heard yet that it was declared anew.
      const isTimed = record?.traits.expires !== undefined;
      if (record === undefined || record.foreign || !isTimed) {
        await commands.send("forget a queue", [
          ...["ZREM", layout.expiring] as const,
          name,
        ], options);
        continue;
      }
      const exchanges = mirror.around([{ type: "queue", name }]);
      if (exchanges.some((each) => mirror.sizeOf(each) < 0)) {
        await this.#read(exchanges, options);
      }
      if (record.consumers.length > 0) {
        await useQueues(this.#context, [name], options);
      } else {
        await this.apply(
          planDeleteQueue(
            mirror.topology,
            { name, ifUnused: false, ifEmpty: false },
            record.owner ?? "",
          ),
          formatVersion(mirror, exchanges, mirror.version),
          options,
        );
      }
    }
  }

  /** Makes planned changes in one step, but for thousands of bindings of a queue that goes. */
  async apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    const { early, last } = bindingsFirst(changes);
    let seen = version;
    for (const piece of early) {
      const result = await this.#applyAtOnce(piece, seen, options);
      if (result.type !== "applied") return result;
      seen = versionAfter(this.#context.mirror, seen);
    }
    return await this.#applyAtOnce(last, seen, options);
  }

  async #applyAtOnce(
    changes: readonly TopologyChange[],
    version: string,
    options: CallOptions | undefined,
  ): Promise<ChangeResult> {
    const { mirror } = this.#context;
    const { first, later } = inPieces(mirror.plan(changes));
    const seen = first.rests.length > 0
      ? [versionIn(version), 0]
      : versionArguments(mirror, version);
    if (seen === undefined) return { type: "stale" };
    const gone = changes.filter((each) => each.type === "queue-deleted");
    const emptied = gone.filter(({ ifEmpty }) => ifEmpty);
    if (!await this.#context.areEmpty(emptied, options)) {
      return { type: "not-empty" };
    }
    const reply = await this.#write(first, changes, seen, options);
    if (!Array.isArray(reply)) {
      return { type: decode(reply) === "not-empty" ? "not-empty" : "stale" };
    }
    for (const piece of later) {
      try {
        await this.#write(piece, [], [mirror.version, 0], options);
      } catch {
        // It is done. The lists that are left name an exchange that is not there.
        break;
      }
    }
    const after = decode(reply[0]);
    const cleared = await this.#context.afterDeletion(gone, after, options);
    return { type: "applied", messageCount: Number(reply[2]) + cleared };
  }

  /** Writes, unless the server's tables are others by now. Returns its answer. */
  async #write(
    writes: Writes,
    changes: readonly TopologyChange[],
    seen: readonly (string | number)[],
    options: CallOptions | undefined,
  ): Promise<RedisReply> {
    const { mirror, layout } = this.#context;
    const exchanges = [
      ...new Set([
        ...[...writes.added, ...writes.removed].map(([exchange]) => exchange),
        ...writes.emptied,
      ]),
    ];
    const { reply, changed } = await this.#run(
      "apply",
      "change the declarations",
      applyArguments(writes, changes, exchanges, seen),
      {
        ...options,
        // The server does not notify us of our own changes, nor of later ones to the same
        // keys.
        watched: [
          layout.topology,
          ...exchanges.map((each) => layout.bindings(each)),
        ],
      },
    );
    if (!Array.isArray(reply)) return reply;
    const [after, routes, , behind, ...sizes] = reply;
    // The next put looks at the server's state: its notification may come later than those of others.
    this.#context.fresh = false;
    mirror.done(
      behind === 0
        ? { version: decode(after), routes: decode(routes) }
        : undefined,
      writes,
      new Map(exchanges.map((each, i) => [each, Number(sizes[i])])),
    );
    for (const exchange of changed) mirror.doubt(exchange);
    return reply;
  }

  /** Takes over what the server tells of changed keys. */
  doubt(key: string): void {
    const { mirror, layout } = this.#context;
    const prefix = layout.bindings("");
    if (!key.startsWith(prefix)) return;
    const exchange = key.slice(prefix.length);
    for (const changed of this.#underWay) changed.add(exchange);
    mirror.doubt(exchange);
  }
}
