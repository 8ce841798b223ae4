import type { CallOptions } from "../../model/call_options.ts";
import type { QueueSearch } from "../store/store.ts";
import { notAnswered } from "../connection_errors.ts";
import type { Context } from "./context.ts";
import { escapePattern } from "./layout.ts";
import { decode, listOf } from "./reply.ts";
import { walk } from "./declared/scanning.ts";

/** So many keys, or members of a set, are looked at in one command: a server does nothing else meanwhile. */
const AT_ONCE = 5000;
const PAGE = 1000;

const ACTION = "look for a queue";

/** Which queues are bound, as Kombu's sets say; `undefined` where the server lets nobody look. */
type Bound = ReadonlySet<string> | undefined;

/**
 * Finds queues of other programs, which no tables name: by what lies in them, by what was
 * taken from them, and by Kombu's bindings. An empty queue of Kombu's that is bound to no
 * exchange leaves no trace.
 */
export class ForeignQueues {
  readonly #context: Context;
  #listing: Promise<Bound> | undefined;
  #next: Promise<Bound> | undefined;

  /** Makes one that has looked for nothing. */
  constructor(context: Context) {
    this.#context = context;
  }

  /** Looks for a queue in what the server has now; if it is there, the mirror has it from then on. */
  async find(queue: string, options?: CallOptions): Promise<QueueSearch> {
    const search = await this.#find(queue, options);
    if (search.isThere) this.#context.mirror.guessQueue(queue);
    return search;
  }

  async #find(queue: string, options?: CallOptions): Promise<QueueSearch> {
    if (await this.#hasMessages(queue, options)) return FOUND;
    // Kombu binds and takes nothing there: all the keys of a node need not be looked through.
    if (this.#context.isSharded) return { isThere: false, names: [] };
    const bound = await this.#context.limits.wait(
      this.#listAnew(),
      options,
      () => notAnswered(ACTION, "not-sent"),
    );
    if (
      bound === undefined || bound.has(queue) ||
      await this.#isUnacked(queue, options)
    ) return FOUND;
    return { isThere: false, names: bound };
  }

  async #hasMessages(queue: string, options?: CallOptions): Promise<boolean> {
    const { layout, commands } = this.#context;
    const keys = [
      ...layout.lists(queue),
      layout.delayed(queue),
      layout.malformed(queue),
      layout.ordered("messages", queue),
    ];
    const count = await commands.send(ACTION, ["EXISTS", ...keys], options);
    return Number(count) > 0;
  }

  async #isUnacked(queue: string, options?: CallOptions): Promise<boolean> {
    for (let cursor = "0";;) {
      const args = [cursor, ...endings(queue)];
      const next = await this.#context.run("unacked", ACTION, args, options);
      if (next === null) return true;
      cursor = decode(next);
      if (cursor === "0") return false;
    }
  }

  /** A call that comes during a listing waits for the next one: the queue that it asks for may be younger than this listing. */
  #listAnew(): Promise<Bound> {
    if (this.#listing === undefined) {
      this.#listing = this.#list().finally(() => this.#listing = undefined);
      return this.#listing;
    }
    this.#next ??= this.#listing.catch(() => {}).then(() => {
      this.#next = undefined;
      return this.#listAnew();
    });
    return this.#next;
  }

  async #list(): Promise<Bound> {
    const queues = new Set<string>();
    for await (const sets of bindingSets(this.#context, ACTION)) {
      if (sets === undefined) return undefined;
      await Promise.all(sets.map((key) => this.#readSet(key, queues)));
    }
    return queues;
  }

  async #readSet(key: string, queues: Set<string>): Promise<void> {
    const { layout, commands } = this.#context;
    const pages = walk(async (cursor) => {
      const command = ["SSCAN", key, cursor, "COUNT", PAGE] as const;
      // Where it is no set, or not ours to read, it has no members.
      return await commands.ask(ACTION, command) ?? [0];
    });
    for await (const [members] of pages) {
      for (const member of listOf(members ?? [])) {
        const queue = layout.parseMember(decode(member))?.queue;
        if (queue !== undefined) queues.add(queue);
      }
    }
  }
}

/**
 * Goes through the keys of Kombu's sets of bindings, page by page. Where queues have slots of
 * their own there are none.
 *
 * @returns The keys; `undefined` where the server lets nobody look.
 */
export async function* bindingSets(
  { layout, commands, isSharded }: Context,
  action: string,
  options?: CallOptions,
): AsyncIterable<readonly string[] | undefined> {
  if (isSharded) return;
  const pattern = `${escapePattern(layout.bindings(""))}*`;
  const pages = walk(async (cursor) =>
    await commands.ask(action, [
      ...["SCAN", cursor, "MATCH", pattern, "COUNT", AT_ONCE] as const,
      ...["TYPE", "set"] as const, // another key of that name is nobody's bindings
    ], options) ?? [0]
  );
  for await (const [keys] of pages) {
    yield keys === undefined ? undefined : listOf(keys).map(decode);
  }
}

const FOUND: QueueSearch = { isThere: true, names: [] };

/** How a list of an envelope, the default exchange and a queue may end as JSON. */
function endings(queue: string): readonly string[] {
  const text = JSON.stringify(queue);
  const ascii = text.replace(
    /[^\0-\x7f]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return [...new Set([text, ascii])].flatMap((each) => [
    `"", ${each}]`,
    `"",${each}]`,
  ]);
}
