/**
 * An inbox on Redis, which several processes share: a message that one of them has handled
 * no other handles within the window.
 *
 * A key of the inbox is one key of Redis, `dashi.inbox.<queue> <message id>`, with a time
 * to live: a claim while its handler runs, `done` after it. Redis must not evict keys, and
 * a message whose mark a failover loses may be handled twice.
 *
 * @example A worker that handles each order once
 * ```ts ignore needs Redis
 * import { createConnection } from "@dashi/mq";
 * import { createRedisInbox } from "@dashi/mq/inbox_redis";
 *
 * const connection = createConnection("amqp://localhost");
 * await using inbox = createRedisInbox("redis://localhost", { window: 86_400_000 });
 * await connection.consumer("orders").run(handle, { inbox });
 * ```
 *
 * @module
 */

import type { Inbox, InboxCall, InboxOutcome } from "./inbox.ts";
import {
  type Claim,
  type InboxClaims,
  LeasedInbox,
  type SharedInboxOptions,
} from "./leased_inbox.ts";
import { checkInterval } from "../operation_options.ts";
import {
  type EvalScript,
  type IoredisClient,
  openRedis,
} from "./redis_client.ts";

export type { Inbox, InboxCall, InboxOutcome } from "./inbox.ts";
export type { InboxOptions, SharedInboxOptions } from "./leased_inbox.ts";
export type { EvalScript, IoredisClient } from "./redis_client.ts";

/** Options of {@linkcode createRedisInbox}. */
export interface RedisInboxOptions extends SharedInboxOptions {
  /** The text that each key of Redis begins with. @default {"dashi.inbox."} */
  readonly prefix?: string | undefined;
}

/** An inbox on Redis. Disposing of it closes the connection that it has made. */
export interface RedisInbox extends Inbox, AsyncDisposable {
  /** Closes the connection, if the inbox was made of a URL; a client of the caller's stays open. */
  close(): Promise<void>;
}

/**
 * Makes an inbox on Redis.
 *
 * @param redis The URL of a Redis, which the inbox connects to by npm:ioredis with the first message; or a client of ioredis; or a function that runs scripts, for other clients.
 * @param options How long to remember, and the lease, ms; the prefix of the keys.
 * @returns The inbox, for `run(handler, { inbox })`.
 * @throws {OptionError} If an option is unknown, or `redis` is none of these.
 * @throws {RangeError} If the window or the lease is no number above 0, or more than ten years.
 *
 * @example Workers that share it
 * ```ts
 * import { assert } from "@std/assert";
 * import { createRedisInbox } from "@dashi/mq/inbox_redis";
 *
 * // It connects with the first message.
 * await using inbox = createRedisInbox("redis://localhost", {
 *   window: 86_400_000,
 * });
 * assert("handle" in inbox);
 * ```
 */
export function createRedisInbox(
  redis: string | IoredisClient | EvalScript,
  given: RedisInboxOptions,
): RedisInbox {
  const { prefix = "dashi.inbox.", ...options } = given ?? {};
  const { run, close } = openRedis(redis);
  if (options.lease !== undefined) checkInterval("lease", options.lease);
  const inbox = new LeasedInbox(new RedisClaims(run, prefix), options);
  return {
    handle: (key: string, work: () => Promise<void>, call: InboxCall): Promise<
      InboxOutcome
    > => inbox.handle(key, work, call),
    close,
    [Symbol.asyncDispose]: close,
  };
}

const CLAIM = `
local held = redis.call('GET', KEYS[1])
if held == 'done' then return 'done' end
if held and held ~= ARGV[1] then return 'busy' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'claimed'
`;

const RENEW = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return ''
`;

const FINISH = `
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then redis.call('SET', KEYS[1], 'done', 'PX', ARGV[2]) end
return ''
`;

const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return ''
`;

/** Claims and marks on a Redis. */
class RedisClaims implements InboxClaims {
  readonly #run: EvalScript;
  readonly #prefix: string;

  constructor(run: EvalScript, prefix: string) {
    this.#run = run;
    this.#prefix = prefix;
  }

  async claim(key: string, token: string, lease: number): Promise<Claim> {
    const answer = await this.#call(CLAIM, key, token, lease);
    return answer === "done" || answer === "busy" ? answer : "claimed";
  }

  renew(key: string, token: string, lease: number): Promise<unknown> {
    return this.#call(RENEW, key, token, lease);
  }

  finish(key: string, token: string, window: number): Promise<unknown> {
    return this.#call(FINISH, key, token, window);
  }

  release(key: string, token: string): Promise<unknown> {
    return this.#call(RELEASE, key, token);
  }

  #call(
    script: string,
    key: string,
    token: string,
    ...times: readonly number[]
  ): Promise<unknown> {
    const args = [token, ...times.map((each) => String(Math.ceil(each)))];
    return this.#run(script, this.#prefix + key, args);
  }
}
