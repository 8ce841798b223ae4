import type { CallOptions } from "../../model/call_options.ts";
import { Context, type ScriptOptions } from "./context.ts";
import { listOf, type RedisArgument, type RedisReply } from "./reply.ts";
import { type Scripts, TIMED } from "./scripts.ts";

/** Scripts about the tables, the owners and the exchanges, which have a slot together. */
const OF_TABLES: ReadonlySet<keyof Scripts> = new Set<keyof Scripts>([
  "adjust",
  "apply",
  "beat",
  "broadcast",
  "mendEnd",
  "mendPiece",
  "read",
  "unacked",
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
const MAY_EXPIRE = new Set<keyof Scripts>(["again", "putOne", "release"]);

/** So many numbers are kept for what one script takes. */
const NUMBERS = 2000;

/** So many queues are looked at besides, of those that dead-letter. */
const BESIDES = 50;

/** The most queues of which it is remembered what their slots were told. */
const MAX_NOTED = 10_000;

/** The server's clock is that of many nodes: none is corrected. */
const NO_TIME = ["", 0];

/** A part of a call, for one queue. */
interface Part {
  readonly queue: string;
  readonly args: readonly RedisArgument[];
  /** Which places of the whole call these are. */
  readonly places: readonly number[];
}

/**
 * The context of a connection to a cluster in which each queue has a slot of its own. A script
 * about several queues is one for each. The slot is told what is declared of its queue by who
 * uses it, ahead of the first call and after each change.
 */
export class SlotContext extends Context {
  /** Of each queue what its slot was told. */
  readonly #noted = new Map<string, string>();
  /** Queues that have delayed messages of ours. */
  readonly #delaying = new Set<string>();
  /** When time will next change something in a queue, on the server's clock, as was said. */
  readonly #dues = new Map<string, number>();
  /** When a use of a queue was last noted beside the tables, on our clock. */
  readonly #used = new Map<string, number>();
  #lettersOf = { version: "", queues: new Set<string>() };

  override get isSharded(): boolean {
    return true;
  }

  override places(): Iterable<string> {
    return [...this.mirror.topology.queues()].map(({ declaration }) =>
      declaration.name
    );
  }

  override ringDue(queue: string): void {
    this.#dues.set(queue, -Infinity);
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
      this.#dues.delete(name);
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
    if (name === "take") return this.#take(action, args, options);
    if (name === "ripen") return this.#ripen(action, options);
    if (name === "put" && options.queueOf === undefined) {
      return this.#ofTables(name, action, [...args, ""], options);
    }
    const rows = ROWS[name];
    if (rows !== undefined) return this.#rows(name, action, args, options);
    const queue = options.queueOf?.(0) ?? String(args[0]);
    if (name === "putOne") this.#delaying.add(queue);
    const isPut = name === "put" || name === "putOne";
    // How many it has with another time stands behind the queues that go when they are not used.
    const times = Number(args[3 + 2 * Number(args[2])]);
    if (name === "put" && times > 0) this.ringDue(queue);
    const isDeclared = this.mirror.topology.queue(queue)?.foreign === false;
    const all = isPut ? [...args, isDeclared ? "1" : ""] : args;
    return this.#at(queue, name, action, all, options);
  }

  #ofTables(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions,
  ): Promise<RedisReply> {
    const all = TIMED.has(name) ? [...args, ...NO_TIME] : args;
    return this.call(name, action, all, {
      ...options,
      place: this.layout.shared,
    });
  }

  /** Calls a script in a queue's slot, which is told before what is declared of it. */
  #at(
    queue: string,
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions = {},
  ): Promise<RedisReply> {
    if (name !== "note") this.#note(queue);
    // The server does not tell us of our own changes.
    if (MAY_EXPIRE.has(name)) this.ringDue(queue);
    const all = TIMED.has(name) ? [...args, ...NO_TIME] : args;
    const place = this.layout.place(queue);
    return this.call(name, action, all, { ...options, place });
  }

  /** In one socket what is sent first comes first: nobody waits for it. */
  #note(queue: string): void {
    const { mirror } = this;
    const record = mirror.fieldOf(`queue ${queue}`);
    if (record === "") {
      this.#noted.delete(queue);
      return;
    }
    const isTimed = mirror.topology.queue(queue)?.traits.expires !== undefined;
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
    const replies = await Promise.all(
      queues.map((queue) => this.#at(queue, "ripen", action, [], options)),
    );
    let stamp: RedisReply = null;
    let next = Infinity;
    const moved: RedisReply[] = [];
    replies.forEach((reply, i) => {
      const [time, in_, which] = listOf(reply);
      stamp = time ?? null;
      const left = Number(in_);
      if (left < 0) this.#delaying.delete(queues[i] ?? "");
      else next = Math.min(next, left);
      moved.push(...listOf(which ?? []));
    });
    return [stamp, next === Infinity ? -1 : next, moved];
  }

  /** Takes of each queue, and looks at others in which time has changed something: what has expired there may go elsewhere. */
  async #take(
    action: string,
    [fields = "", first = 0, ...wants]: readonly RedisArgument[],
    options: ScriptOptions,
  ): Promise<RedisReply> {
    const asked: Part[] = [];
    for (let i = 0; i < wants.length; i += 3) {
      const args = wants.slice(i, i + 3);
      asked.push({ queue: String(args[0]), args, places: [i / 3] });
    }
    const parts = [...asked];
    const names = new Set(asked.map(({ queue }) => queue));
    const now = this.serverNow;
    const letters = this.#letters();
    for (const queue of new Set([...letters, ...this.#dues.keys()])) {
      if (parts.length - asked.length >= BESIDES) break;
      if (names.has(queue) || (this.#dues.get(queue) ?? 0) > now) continue;
      parts.push({ queue, args: [], places: [] });
    }
    const watches = options.watched !== undefined && this.commands.watching;
    const merge = (replies: readonly (RedisReply | undefined)[]) =>
      this.#mergeTaken(asked, replies);
    const results = await Promise.allSettled(parts.map((part, i) => {
      const { queue, args: [name, limit, expires] } = part;
      if (expires !== undefined && expires !== "") {
        this.#noteUse(queue, Number(expires));
      }
      const watched = watches
        ? [
          this.layout.dueOf(queue),
          ...(name === undefined
            ? []
            : this.layout.places(queue, Number(limit) < 0)),
        ]
        : [];
      const args = [fields, Number(first) + i * NUMBERS, ...part.args];
      return this.#at(queue, "take", action, args, {
        ...options,
        watched,
        late: (reply) => {
          const replies = parts.map((_, j) => j === i ? reply : undefined);
          options.late?.(merge(replies));
        },
      });
    }));
    const replies = results.map((each) =>
      each.status === "fulfilled" ? each.value : undefined
    );
    parts.forEach(({ queue }, i) => {
      const reply = replies[i];
      if (!Array.isArray(reply)) return;
      const due = Number(reply[1]);
      if (due >= 0) this.#dues.set(queue, due);
      else if (!letters.has(queue)) this.#dues.delete(queue);
      // Where the server tells nothing, it is looked at again.
      else this.#dues.set(queue, watches ? Infinity : now + 1000);
    });
    const failed = results.find((each) => each.status === "rejected");
    // What some slots gave is not lost for others that did not answer.
    if (failed !== undefined && !replies.some((each) => each !== undefined)) {
      throw failed.reason;
    }
    return merge(replies);
  }

  #mergeTaken(
    asked: readonly Part[],
    replies: readonly (RedisReply | undefined)[],
  ): RedisReply {
    let stamp: RedisReply = null;
    let due = Infinity;
    const expired: RedisReply[] = [];
    const moved: RedisReply[] = [];
    let isFull = 0;
    const taken: RedisReply[] = [];
    replies.forEach((reply, i) => {
      if (!Array.isArray(reply)) {
        if (i < asked.length) taken[i] = NOTHING;
        return;
      }
      const [time, next, dead, ripe, full, entries] = reply;
      stamp ??= time ?? null;
      if (Number(next) >= 0) due = Math.min(due, Number(next));
      expired.push(...listOf(dead ?? []));
      moved.push(...listOf(ripe ?? []));
      if (full === 1) isFull = 1;
      if (i < asked.length) taken[i] = entries ?? NOTHING;
    });
    for (const each of this.#dues.values()) due = Math.min(due, each);
    const next = due === Infinity ? -1 : Math.max(0, due);
    return [stamp, next, expired, moved, isFull, ...taken];
  }

  /** The queues whose messages go elsewhere when their time is over, consumed or not. */
  #letters(): ReadonlySet<string> {
    const { version, topology } = this.mirror;
    if (this.#lettersOf.version !== version) {
      const queues = [...topology.queues()].filter(({ traits }) =>
        traits.deadLetterExchange !== undefined
      ).map(({ declaration }) => declaration.name);
      this.#lettersOf = { version, queues: new Set(queues) };
    }
    return this.#lettersOf.queues;
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

/** What a slot gave that gave nothing: which queue it is, and no messages. */
const NOTHING: RedisReply = [new Uint8Array()];

function placesIn(reply: RedisReply | undefined): readonly number[] {
  return Array.isArray(reply) ? reply.map(Number) : [];
}

/** The epoch of the tables, and the number of their state. */
function stateOf(version: string): readonly [string, number] {
  const [, epoch = "", count = ""] = /^(.*\.)(\d+)$/.exec(version) ?? [];
  return [epoch.slice(0, -1), Number(count)];
}
