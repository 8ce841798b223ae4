import type { Redis } from "ioredis";
import { errorText } from "../../../model/error_text.ts";

/** The most keys that a script itself has watched: with a hundred reads they take 2 ms. */
const MAX_IN_SCRIPT = 256;

/** The part of a client that is used here. */
type Sender = Pick<Redis, "call" | "callBuffer">;

/** The arguments of a script, behind its keys. */
type Arguments = readonly (string | number | Uint8Array)[];

/**
 * Calls scripts, and has the server tell of changes of keys from then on.
 *
 * Redis before 7.2 notes all keys of a watched script again at each command in it that
 * reads (`trackingRememberKeys`, 0.1 µs a key): with 2,000 keys and a thousand reads it stands
 * still for 200 ms. So a script with many keys is told of none, and one command behind it
 * reads them, in one transaction: nobody changes them in between.
 */
export class Watching {
  readonly #redis: Sender;
  #mayTransact: Promise<boolean> | undefined;

  /** Makes one for a client. */
  constructor(redis: Sender) {
    this.#redis = redis;
  }

  /** Calls `EVAL` with a text or `EVALSHA` with a name, and watches the keys, if there are any. Before them stands what says in which slot it runs. */
  call(
    command: "EVAL" | "EVALSHA",
    script: string,
    keys: readonly string[],
    args: Arguments,
    place: readonly string[] = [],
  ): Promise<unknown> {
    return keys.length > MAX_IN_SCRIPT
      ? this.#callApart(command, script, keys, args, place)
      : this.#call(command, script, keys, args, place);
  }

  #call(
    command: string,
    script: string,
    keys: readonly string[],
    args: Arguments,
    place: readonly string[],
  ): Promise<unknown> {
    if (keys.length > 0) this.watchNext();
    const count = place.length + keys.length;
    const all = [script, count, ...place, ...keys, ...args];
    return this.#redis.callBuffer(command, all as (string | number)[]);
  }

  /** Has the keys of the next command watched, and of no other. */
  watchNext(): void {
    this.#redis.call("CLIENT", "CACHING", "YES").catch(() => {});
  }

  async #callApart(
    command: string,
    script: string,
    keys: readonly string[],
    args: Arguments,
    place: readonly string[],
  ): Promise<unknown> {
    this.#mayTransact ??= this.#askWhetherMayTransact();
    if (!await this.#mayTransact) {
      return await this.#call(command, script, keys, args, place);
    }
    // What these are answered the last one says again.
    const queued = [
      this.#redis.call("MULTI"),
      this.#call(command, script, [], args, place),
      this.#redis.call("CLIENT", "CACHING", "YES"),
      this.#redis.call("EXISTS", [...keys]),
    ];
    for (const each of queued) each.catch(() => {});
    let replies: unknown;
    try {
      replies = await this.#redis.callBuffer("EXEC");
    } catch (error) {
      // Nothing was done: a server whose memory is full queues no commands, but runs the script.
      if (!/^EXECABORT/.test(errorText(error))) throw error;
      return await this.#call(command, script, keys, args, place);
    }
    const [reply] = Array.isArray(replies) ? replies : [];
    if (reply instanceof Error) throw reply;
    return reply;
  }

  /** A user may lack the right to `EXEC`: it would never get out of a transaction. */
  async #askWhetherMayTransact(): Promise<boolean> {
    const refusal = await this.#redis.call("EXEC").then(String, errorText);
    if (!/without MULTI/i.test(refusal)) return false;
    const begun = this.#redis.call("MULTI").then(() => true, () => false);
    this.#redis.call("EXEC").catch(() => {});
    return await begun;
  }
}
