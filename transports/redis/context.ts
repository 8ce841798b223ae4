import type { CallOptions } from "../../model/call_options.ts";
import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import {
  type Caller,
  type RunOptions,
  type Script,
  toScript,
} from "./client.ts";
import type { NotNowError } from "../connection_errors.ts";
import { listOf, type RedisArgument, type RedisReply } from "./reply.ts";
import type { Layout } from "./layout.ts";
import type { Mirror } from "./declared/mirror.ts";
import { isTimed, type Scripts, writeScripts } from "./lua/scripts.ts";
import { ServerClock } from "./server_clock.ts";

/** The settings of a connection's parts. */
export interface ContextSettings {
  readonly layout: Layout;
  readonly clock: Clock;
  readonly owner: string;
  /** How many replicas have what is confirmed. */
  readonly replicas: number;
}

/** The options of a script's run. */
export interface ScriptOptions extends RunOptions {
  /** The keys of whose changes the server is to tell. */
  readonly watched?: readonly string[] | undefined;
  /** The queue that a place in the arguments is about: of those of one width that the script takes, by their order. */
  readonly queueOf?: ((place: number) => string) | undefined;
  /** Called for a queue whose node in a cluster takes no writes now, where others were answered for. Must not throw. */
  readonly refused?:
    | ((queue: string, error: NotNowError) => void)
    | undefined;
}

/** Scripts whose result must not be lost in a failover, once their caller knows of it. */
const CONFIRMED: ReadonlySet<keyof Scripts> = new Set<keyof Scripts>([
  "put",
  "putOne",
  "apply",
]);

/** The context that all parts of a connection share: the socket, the names, the scripts, the server's clock. */
export class Context {
  readonly commands: Caller;
  readonly layout: Layout;
  readonly mirror: Mirror;
  readonly clock: Clock;
  /** Watches the limits of all calls. */
  readonly limits: Limits;
  /** The prefix of this connection's fields in the hash of unacked messages. */
  readonly fields: string;
  /** The owner that this connection is. */
  readonly owner: string;
  readonly #scripts: ReadonlyMap<string, TimedScript>;
  /** How many replicas have what is confirmed. */
  readonly #replicas: number;
  /** Whether the server would have told us if the tables had changed since they were read. */
  fresh = false;
  /** How often the server has told that the tables have changed. */
  told = 0;
  readonly #time: ServerClock;
  #number = 1;
  /** The last answer of `isCurrent`: thousands of messages in a row rest on one view. */
  #checked = { version: "", doubts: 0, seen: "", current: false };

  /** Makes them for a socket that is logged in. */
  constructor(
    commands: Caller,
    mirror: Mirror,
    settings: ContextSettings,
  ) {
    this.commands = commands;
    this.mirror = mirror;
    this.layout = settings.layout;
    this.clock = settings.clock;
    this.limits = new Limits(settings.clock);
    this.#time = new ServerClock(settings.clock, !this.isSharded);
    this.owner = settings.owner;
    this.#replicas = settings.replicas;
    this.fields = `${settings.owner}.${crypto.randomUUID().slice(0, 8)}.`;
    this.#scripts = scriptsOf(settings.layout);
  }

  /**
   * Returns the suffix, behind the queue's name, of the list that a message goes to.
   * Priorities at or above the queue's maximum share one list, which is served before the
   * others. Priorities of an ordered queue are not told apart.
   */
  suffixOf(queue: string, priority: number | undefined): string {
    const { layout, mirror } = this;
    if (priority === undefined || priority <= 0) return layout.suffix(priority);
    const { ordered, maxPriority: most } = mirror.traitsOf(queue);
    if (ordered) return layout.suffix(0);
    if (most === undefined || priority < most) return layout.suffix(priority);
    const { steps } = layout.options;
    return layout.suffix(steps.find((step) => step >= most) ?? steps.at(-1));
  }

  /** The server's time, ms since 1970, as well as we know it. */
  get serverNow(): number {
    return this.#time.now;
  }

  /** Takes over what an answer says of the server's time; a clock that was set is corrected. */
  setServerNow(stamp: RedisReply | undefined, sentAt: number): void {
    const ahead = this.#time.sync(stamp, sentAt);
    if (ahead === undefined) return;
    const now = this.clock.now();
    this.runList("adjust", "correct the server's clock", [ahead]).then(
      (stamp) => this.#time.sync(stamp, now),
      () => {},
    );
  }

  /** A time of the server's, on our clock. */
  toLocal(serverTime: number): number {
    return this.#time.toLocal(serverTime);
  }

  /** Numbers for so many fields. */
  nextNumbers(count: number): number {
    const first = this.#number;
    this.#number += count;
    return first;
  }

  /** Whether the tables are known to be as a view of this version has them; sets of bindings aside. */
  isCurrent(version: string): boolean {
    if (!this.fresh) return false;
    const { doubts, routes: seen } = this.mirror;
    const known = this.#checked;
    if (
      known.version !== version || known.doubts !== doubts ||
      known.seen !== seen
    ) {
      const current = version.startsWith(`[${doubts},"${seen}",`);
      this.#checked = { version, doubts, seen, current };
    }
    return this.#checked.current;
  }

  /**
   * Runs the script for many messages. One to a queue by its name watches the tables, where
   * nothing does: what follows it needs no script.
   */
  async put(
    args: readonly RedisArgument[],
    { version, exchange, deadline }: {
      readonly version: string | undefined;
      readonly exchange: string | undefined;
      readonly deadline: number;
    },
  ): Promise<RedisReply> {
    const { told } = this;
    const isWatched = !this.fresh && exchange === "" && this.commands.watching;
    const watched = isWatched ? [this.layout.topology] : [];
    const reply = await this.run("put", "publish", args, { deadline, watched });
    if (!isWatched || !Array.isArray(reply) || this.told !== told) return reply;
    const { doubts, routes } = this.mirror;
    this.fresh ||= version?.startsWith(`[${doubts},"${routes}",`) ?? false;
    return reply;
  }

  /** The server tells that the tables have changed. */
  tell(): void {
    this.told++;
    this.fresh = false;
  }

  /** Runs a script whose answer is a list; where it is none, the connection is of no use. */
  async runList(
    ...call: Parameters<Context["run"]>
  ): Promise<readonly RedisReply[]> {
    const reply = await this.run(...call);
    try {
      return listOf(reply);
    } catch (error) {
      if (error instanceof Error) this.commands.destroy(error);
      throw error;
    }
  }

  /** Whether each queue has a slot of its own: then several are not put to, or deleted, in one step. */
  get isSharded(): boolean {
    return false;
  }

  /** A queue for each place in which something may be: all are in one, unless each has its own. */
  places(): Iterable<string> {
    return [""];
  }

  /** Asks, where the tables are, whether a view is as they have it, and queues that go when they are not used are there; for puts in other slots. */
  async isCurrentThere(
    seen: readonly (string | number)[],
    expiring: ReadonlyMap<string, number>,
    options: Parameters<Context["put"]>[1],
  ): Promise<boolean> {
    if (seen[0] === "" && expiring.size === 0) return true;
    const args = [...seen, expiring.size, ...[...expiring].flat(), 0, 0];
    return Array.isArray(await this.put(args, options));
  }

  /** Whether queues are empty that are to be deleted then, where they are in other slots than the tables: the script does not see them. */
  areEmpty(
    _queues: readonly { readonly name: string }[],
    _options?: CallOptions,
  ): Promise<boolean> {
    return Promise.resolve(true);
  }

  /** Sees to it that queues that are declared no more are gone for all. Returns how many ready messages were in those in other slots than the tables. */
  async afterDeletion(
    queues: readonly { readonly name: string }[],
    _version: string,
    options?: CallOptions,
  ): Promise<number> {
    if (queues.length === 0) return 0;
    // Publishers that go by what the server tells have been told before our caller goes on.
    const action = "delete a queue";
    await this.commands.ask(action, ["PING"], options).catch(() => {});
    return 0;
  }

  /** Time will change something in a queue, or in any, sooner than was said. */
  ringDue(_queue?: string): void {}

  /** Waits until what was written in a key's slot is in as many replicas as were asked for. */
  confirm(
    action: string,
    key: string,
    options?: CallOptions,
  ): Promise<void> | undefined {
    if (this.#replicas === 0) return undefined;
    return this.commands.confirm(action, this.#replicas, key, options);
  }

  /** Runs a script. */
  run(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options?: ScriptOptions,
  ): Promise<RedisReply> {
    return this.call(name, action, args, options);
  }

  /** Calls a script, where its caller says. */
  protected call(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options?: ScriptOptions,
  ): Promise<RedisReply> {
    const script = this.#scripts.get(name);
    if (script === undefined) throw new Error(`There is no script "${name}"`);
    const watched = options?.watched ?? [];
    const all = script.isTimed ? [...args, ...this.#time.expected] : args;
    const reply = this.commands.run(action, script, watched, all, options);
    if (this.#replicas === 0 || !CONFIRMED.has(name)) return reply;
    const key = options?.place ?? this.layout.shared;
    return reply.then(async (reply) => {
      await this.confirm(action, key, options);
      return reply;
    });
  }
}

/** A script, and whether it goes by the time. */
type TimedScript = Script & { readonly isTimed: boolean };

/** The scripts of the layout that was used last: most processes have one, and many connections. */
let latest: {
  readonly layout: string;
  readonly scripts: ReadonlyMap<string, TimedScript>;
} | undefined;

function scriptsOf(layout: Layout): ReadonlyMap<string, TimedScript> {
  const name = JSON.stringify(layout.options);
  if (latest?.layout !== name) {
    const scripts = Object.entries(writeScripts(layout)).map(([name, text]) =>
      [name, { ...toScript(text), isTimed: isTimed(text) }] as const
    );
    latest = { layout: name, scripts: new Map(scripts) };
  }
  return latest.scripts;
}

/**
 * The version of a view: of the tables, and of the sets that it rests on.
 *
 * @param version Which of the two versions of the tables counts.
 */
export function formatVersion(
  mirror: Mirror,
  exchanges: readonly string[],
  version: string,
): string {
  return JSON.stringify([
    mirror.doubts,
    version,
    exchanges.length,
    ...exchanges.flatMap((each) => [each, mirror.sizeOf(each)]),
  ]);
}

/**
 * Returns a view's version as it is when a change that depended on it has been made.
 *
 * @returns The version of the same view now; what others changed meanwhile still makes it old.
 */
export function versionAfter(mirror: Mirror, version: string): string {
  const [doubts, , count, ...sets] = JSON.parse(version);
  const exchanges = sets.filter((_: unknown, i: number) => i % 2 === 0);
  const sizes = exchanges.flatMap((
    each: string,
  ) => [each, mirror.sizeOf(each)]);
  return JSON.stringify([doubts, mirror.version, count, ...sizes]);
}

/** Looks up the version of the tables in a view's. */
export function versionIn(version: string): string {
  return JSON.parse(version)[1];
}

/**
 * Returns the arguments by which a script checks the view that a decision depends on.
 *
 * @param version The view's version; `undefined` is none, and fits all.
 * @returns The script's arguments, or `undefined` if the view is known to be old: a set that was swapped for one of equal size the server does not notice.
 */
export function versionArguments(
  mirror: Mirror,
  version: string | undefined,
): readonly (string | number)[] | undefined {
  if (version === undefined) return ["", 0];
  const [doubts, ...args] = JSON.parse(version);
  return doubts === mirror.doubts ? args : undefined;
}
