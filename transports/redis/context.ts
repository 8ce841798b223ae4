import type { Clock } from "../../async/clock.ts";
import {
  type RedisClient,
  type RunOptions,
  type Script,
  toScript,
} from "./client.ts";
import { listOf, type RedisArgument, type RedisReply } from "./reply.ts";
import type { Layout } from "./layout.ts";
import type { Mirror } from "./mirror.ts";
import { type Scripts, TIMED, writeScripts } from "./scripts.ts";
import { ServerClock } from "./server_clock.ts";

/** The context that all parts of a connection share: the socket, the names, the scripts, the server's clock. */
export class Context {
  readonly commands: RedisClient;
  readonly layout: Layout;
  readonly mirror: Mirror;
  readonly clock: Clock;
  /** The prefix of this connection's fields in the hash of unacked messages. */
  readonly fields: string;
  /** The owner that this connection is. */
  readonly owner: string;
  readonly #scripts: ReadonlyMap<string, Script>;
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
    commands: RedisClient,
    mirror: Mirror,
    settings: {
      readonly layout: Layout;
      readonly clock: Clock;
      readonly owner: string;
    },
  ) {
    this.commands = commands;
    this.mirror = mirror;
    this.layout = settings.layout;
    this.clock = settings.clock;
    this.#time = new ServerClock(settings.clock);
    this.owner = settings.owner;
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
    const traits = mirror.topology.queue(queue)?.traits;
    if (traits?.ordered) return layout.suffix(0);
    const most = traits?.maxPriority;
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

  /** Runs a script. */
  run(
    name: keyof Scripts,
    action: string,
    args: readonly RedisArgument[],
    options?: RunOptions & {
      readonly watched?: readonly string[] | undefined;
    },
  ): Promise<RedisReply> {
    const script = this.#scripts.get(name);
    if (script === undefined) throw new Error(`There is no script "${name}"`);
    return this.commands.run(
      action,
      script,
      options?.watched ?? [],
      TIMED.has(name) ? [...args, ...this.#time.expected] : args,
      options,
    );
  }
}

/** The scripts of the layout that was used last: most processes have one, and many connections. */
let latest: {
  readonly layout: string;
  readonly scripts: ReadonlyMap<string, Script>;
} | undefined;

function scriptsOf(layout: Layout): ReadonlyMap<string, Script> {
  const name = JSON.stringify(layout.options);
  if (latest?.layout !== name) {
    const texts = Object.entries(writeScripts(layout));
    const scripts = texts.map(([name, text]) =>
      [name, toScript(text)] as const
    );
    latest = { layout: name, scripts: new Map(scripts) };
  }
  return latest.scripts;
}

/**
 * The version of a view: of the tables, and of the sets that it rests on.
 *
 * @param mirror The tables as they were read.
 * @param exchanges The exchanges whose bindings the view shows.
 * @param version Which of the two versions of the tables counts.
 * @returns A text that `versionArguments` reads.
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
 * @param mirror The tables, with that change.
 * @param version The version that {@linkcode formatVersion} made before.
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

/**
 * Looks up the version of the tables in a view's.
 *
 * @param version The version that {@linkcode formatVersion} made.
 * @returns It, without the sets.
 */
export function versionIn(version: string): string {
  return JSON.parse(version)[1];
}

/**
 * Returns the arguments by which a script checks the view that a decision depends on.
 *
 * @param mirror The tables as they are known now.
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
