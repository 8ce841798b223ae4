import type { CallOptions } from "../../../model/call_options.ts";
import { Context, type ScriptOptions } from "../context.ts";
import { listOf, type RedisArgument, type RedisReply } from "../reply.ts";
import type { Scripts } from "../lua/scripts.ts";
import { SlotTaking } from "./slot_taking.ts";

/** Scripts about the tables, the owners and the exchanges, which have a slot together. */
const OF_TABLES: ReadonlySet<keyof Scripts> = new Set<keyof Scripts>([
  "adjust",
  "apply",
  "beat",
  "broadcast",
  "mendEnd",
  "mendPiece",
  "read",
]);

/** Scripts whose arguments are alike, queue by queue: how many each has, and at which place its queue stands; nowhere, where the caller says it. */
const ROWS: Partial<Record<keyof Scripts, readonly [number, number?]>> = {
  remove: [1],
  renew: [1],
  removeOrdered: [3, 1],
  again: [7, 1],
  aside: [3, 1],
  release: [7, 3],
  count: [1, 0],
  look: [1, 0],
  use: [2, 0],
};

/** Those of them that answer for each queue, and do not name places. */
const ANSWERING = new Set<keyof Scripts>(["count", "look"]);

/** Those after which time may change something sooner than was said. */
const MAY_EXPIRE = new Set<keyof Scripts>([
  "again",
  "changeDelayed",
  "putOne",
  "release",
]);

/** When a slot that did not answer is asked again, ms. */
const AGAIN = 1000;

/** The most queues of which it is remembered what their slots were told. */
const MAX_NOTED = 10_000;

/**
 * The context of a connection to a cluster in which each queue has a slot of its own. A script
 * about several queues is one for each. The slot is told what is declared of its queue by who
 * uses it, ahead of the first call and after each change.
 */
export class SlotContext extends Context {
  /** Of each queue what its slot was told. */
  readonly #noted = new Map<string, string>();
  /** Queues that may have delayed messages of ours. */
  readonly #delaying = new Set<string>();
  readonly #taking = new SlotTaking(this, {
    take: (queue, action, args, options) =>
      this.#at(queue, "take", action, args, options),
    use: (queue, expires) => this.#noteUse(queue, expires),
  });
  /** When a use of a queue was last noted beside the tables, on our clock. */
  readonly #used = new Map<string, number>();

  override get isSharded(): boolean {
    return true;
  }

  override places(): Iterable<string> {
    return [...this.mirror.topology.queues()].map(({ declaration }) =>
      declaration.name
    );
  }

  override ringDue(queue?: string): void {
    this.#taking.ring(queue);
  }

  override async areEmpty(
    queues: readonly { readonly name: string }[],
    options?: CallOptions,
  ): Promise<boolean> {
    if (queues.length === 0) return true;
    const names = queues.map(({ name }) => name);
    const action = "delete a queue";
    const counts = await this.runList("count", action, names, options);
    return counts.every((count) => count === 0);
  }

  override async afterDeletion(
    queues: readonly { readonly name: string }[],
    version: string,
    options?: CallOptions,
  ): Promise<number> {
    const counts = await Promise.all(queues.map(({ name }) => {
      this.#noted.delete(name);
      this.#taking.forget(name);
      const args = [...stateOf(version), "", ""];
      return this.#at(name, "note", "delete a queue", args, options);
    }));
    await super.afterDeletion(queues, version, options);
    return counts.reduce<number>(
      (sum, count) => sum + Math.max(0, Number(count)),
      0,
    );
  }

  override run(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions = {},
  ): Promise<RedisReply> {
    if (OF_TABLES.has(name)) return this.#ofTables(name, action, args, options);
    if (name === "take") return this.#taking.take(action, args, options);
    if (name === "ripen") return this.#ripen(action, options);
    if (name === "put" && options.queueOf === undefined) {
      return this.#ofTables(name, action, [...args, ""], options);
    }
    const rows = ROWS[name];
    if (rows !== undefined) return this.#rows(name, action, args, options);
    const queue = options.queueOf?.(0) ?? String(args[0]);
    const isPut = name === "put" || name === "putOne";
    const isDeclared = this.mirror.isDeclared(queue) ? "1" : "";
    const all = isPut ? [...args, isDeclared] : args;
    // How many it has with another time stands behind the queues that go when they are not used.
    const mayExpire = name === "put"
      ? Number(args[3 + 2 * Number(args[2])]) > 0
      : MAY_EXPIRE.has(name);
    return this.#at(queue, name, action, all, options, mayExpire);
  }

  #ofTables(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions,
  ): Promise<RedisReply> {
    const place = this.layout.shared;
    return this.call(name, action, args, { ...options, place });
  }

  /** Calls a script in a queue's slot, which is told before what is declared of it. */
  #at(
    queue: string,
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions = {},
    mayExpire = MAY_EXPIRE.has(name),
  ): Promise<RedisReply> {
    if (name !== "note") this.#note(queue);
    const place = this.layout.place(queue);
    if (!mayExpire) return this.call(name, action, args, { ...options, place });
    // The server does not tell us of our own changes. One may come about later than it was sent,
    // where its slot moves: what was looked at meanwhile says nothing.
    const changed = () => {
      this.ringDue(queue);
      if (name !== "put") this.#delaying.add(queue);
    };
    const late = (reply: RedisReply) => {
      changed();
      options.late?.(reply);
    };
    return this.call(name, action, args, { ...options, place, late })
      .finally(changed);
  }

  /** In one socket what is sent first comes first: nobody waits for it. */
  #note(queue: string): void {
    const { mirror } = this;
    const record = mirror.fieldOf(`queue ${queue}`);
    if (record === "") {
      this.#noted.delete(queue);
      return;
    }
    const isTimed = mirror.traitsOf(queue).expires !== undefined;
    const isConsumed = isTimed && mirror.fieldOf(`consumers ${queue}`) !== "";
    const state = `${isConsumed ? 1 : ""} ${record}`;
    if (this.#noted.get(queue) === state) return;
    if (this.#noted.size >= MAX_NOTED) this.#noted.clear();
    this.#noted.set(queue, state);
    const forget = () => {
      if (this.#noted.get(queue) === state) this.#noted.delete(queue);
    };
    const args = [...stateOf(mirror.version), record, isConsumed ? 1 : ""];
    this.#at(queue, "note", `tell what queue "${queue}" is`, args).then(
      (reply) => {
        // Another knows it better: we will, too.
        if (Number(reply) < 0) forget();
      },
      forget,
    );
  }

  async #rows(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions,
  ): Promise<RedisReply> {
    const [width, at] = ROWS[name] ?? [1];
    const parts = new Map<
      string,
      { places: number[]; args: RedisArgument[] }
    >();
    for (let i = 0; i * width < args.length; i++) {
      const queue = at === undefined
        ? options.queueOf?.(i) ?? ""
        : String(args[i * width + at]);
      let part = parts.get(queue);
      if (part === undefined) {
        parts.set(queue, part = { places: [], args: [] });
      }
      part.places.push(i);
      part.args.push(...args.slice(i * width, (i + 1) * width));
    }
    // What goes when it is not used is looked for beside the tables.
    if (name === "use") await this.#ofTables("use", action, args, options);
    const all = [...parts];
    const replies = await Promise.all(
      all.map(([queue, part]) =>
        this.#at(queue, name, action, part.args, options)
      ),
    );
    const merged: RedisReply[] = [];
    const more: RedisReply[] = [];
    all.forEach(([, { places }], i) => {
      const reply = Array.isArray(replies[i]) ? replies[i] : [];
      if (ANSWERING.has(name)) {
        places.forEach((place, j) => merged[place] = reply[j] ?? null);
      } else if (name === "removeOrdered") {
        const [gone, free] = reply;
        for (const each of placesIn(gone)) merged.push(places[each] ?? -1);
        for (const each of placesIn(free)) more.push(places[each] ?? -1);
      } else {for (const each of placesIn(reply)) {
          merged.push(places[each] ?? -1);
        }}
    });
    return name === "removeOrdered" ? [merged, more] : merged;
  }

  async #ripen(action: string, options: ScriptOptions): Promise<RedisReply> {
    const queues = [...this.#delaying];
    // Those that get another meanwhile are in it again.
    this.#delaying.clear();
    const results = await Promise.allSettled(
      queues.map((queue) => this.#at(queue, "ripen", action, [], options)),
    );
    let stamp: RedisReply = null;
    let next = Infinity;
    const moved: RedisReply[] = [];
    results.forEach((result, i) => {
      const [time, in_, which] = result.status === "fulfilled"
        ? listOf(result.value)
        : [stamp, AGAIN, []];
      stamp = time ?? null;
      const left = Number(in_);
      if (left >= 0) {
        this.#delaying.add(queues[i] ?? "");
        next = Math.min(next, left);
      }
      moved.push(...listOf(which ?? []));
    });
    return [stamp, next === Infinity ? -1 : next, moved];
  }

  /** Tells beside the tables that a queue is used, ten times in its life. */
  #noteUse(queue: string, expires: number): void {
    const now = this.clock.now();
    if (now - (this.#used.get(queue) ?? -Infinity) < expires / 10) return;
    this.#used.set(queue, now);
    const action = "note that a queue is used";
    this.#ofTables("use", action, [queue, expires], {}).catch(() => {
      // The next one notes it.
      this.#used.delete(queue);
    });
  }
}

function placesIn(reply: RedisReply | undefined): readonly number[] {
  return Array.isArray(reply) ? reply.map(Number) : [];
}

/** The epoch of the tables, and the number of their state. */
function stateOf(version: string): readonly [string, number] {
  const [, epoch = "", count = ""] = /^(.*\.)(\d+)$/.exec(version) ?? [];
  return [epoch.slice(0, -1), Number(count)];
}
