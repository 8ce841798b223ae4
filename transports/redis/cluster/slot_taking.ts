import type { Context, ScriptOptions } from "../context.ts";
import { NotNowError } from "../../connection_errors.ts";
import { PassingError } from "../errors.ts";
import { Dues } from "./dues.ts";
import { listOf, type RedisArgument, type RedisReply } from "../reply.ts";

/** So many numbers are kept for what one script takes. */
const NUMBERS = 2000;

/** So many queues are looked at besides, of those that dead-letter. */
const BESIDES = 50;

/** How often so many are looked at though nothing was heard of them, for a slot may have moved unseen, ms; and where the node tells nothing, or did not answer. */
const UNHEARD = 5000;
const UNTOLD = 1000;

/** A part of a call, for one queue. */
interface Part {
  readonly queue: string;
  readonly args: readonly RedisArgument[];
}

/** The services of the context that has the slots. */
interface TakingHost {
  /** Calls the script in a queue's slot. */
  take(
    queue: string,
    action: string,
    args: readonly RedisArgument[],
    options: ScriptOptions,
  ): Promise<RedisReply>;
  /** A queue that goes when it is not used is used. */
  use(queue: string, expires: number): void;
}

/** Takes messages of queues that have a slot each, by a script for each. */
export class SlotTaking {
  readonly #context: Context;
  readonly #host: TakingHost;
  readonly #dues = new Dues();
  #lettersOf = { version: "", queues: new Set<string>() };

  /** Makes one. */
  constructor(context: Context, host: TakingHost) {
    this.#context = context;
    this.#host = host;
  }

  /** Time will change something in a queue, or in any, sooner than was said. */
  ring(queue?: string): void {
    this.#dues.ring(queue);
  }

  /** A queue is gone. */
  forget(queue: string): void {
    this.#dues.forget(queue);
  }

  /**
   * Takes of each queue, and looks at others in which time has changed something: what has
   * expired there may go elsewhere. A slot that no node serves now is waited for where all are
   * such: it keeps nothing of the others from who wants it.
   */
  async take(
    action: string,
    call: readonly RedisArgument[],
    options: ScriptOptions,
    isOnce = true,
  ): Promise<RedisReply> {
    const [fields = "", first = 0, ...wants] = call;
    const asked: Part[] = [];
    for (let i = 0; i < wants.length; i += 3) {
      const args = wants.slice(i, i + 3);
      asked.push({ queue: String(args[0]), args });
    }
    const parts = [...asked];
    const names = new Set(asked.map(({ queue }) => queue));
    const letters = this.#letters();
    const asOf = this.#dues.begin();
    for (const queue of this.#dues.over(this.#context.clock.now())) {
      if (parts.length - asked.length >= BESIDES) break;
      if (!names.has(queue)) parts.push({ queue, args: [] });
    }
    const watches = options.watched !== undefined &&
      this.#context.commands.watching;
    const merge = (replies: readonly (RedisReply | undefined)[]) =>
      this.#mergeTaken(asked, replies);
    const results = await Promise.allSettled(parts.map((part, i) => {
      const { queue, args: [name, limit, expires] } = part;
      if (expires !== undefined && expires !== "") {
        this.#host.use(queue, Number(expires));
      }
      const watched = watches
        ? [
          this.#context.layout.dueOf(queue),
          ...(name === undefined
            ? []
            : this.#context.layout.places(queue, Number(limit) < 0)),
        ]
        : [];
      const args = [fields, Number(first) + i * NUMBERS, ...part.args];
      return this.#host.take(queue, action, args, {
        ...options,
        isOnce,
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
    results.slice(0, asked.length).forEach((each, i) => {
      if (each.status === "fulfilled") return;
      const { reason } = each;
      if (!(reason instanceof NotNowError)) return;
      options.refused?.(asked[i]?.queue ?? "", reason);
    });
    const now = this.#context.clock.now();
    const rounds = Math.max(1, letters.size / BESIDES);
    const again = now + (watches ? UNHEARD * rounds : UNTOLD);
    parts.forEach(({ queue }, i) => {
      const reply = replies[i];
      if (!Array.isArray(reply)) {
        return this.#dues.answer(queue, asOf, now + UNTOLD);
      }
      // By the node's own clock: others may be ahead of it.
      const [[time], due] = [listOf(reply[0] ?? []), Number(reply[1])];
      const changes = due < 0 ? Infinity : now + due - Number(time);
      const next = Math.min(changes, letters.has(queue) ? again : Infinity);
      this.#dues.answer(queue, asOf, next === Infinity ? undefined : next);
    });
    const failed = results.find((each) => each.status === "rejected");
    const heard = asked.length === 0 ? replies : replies.slice(0, asked.length);
    if (failed !== undefined && heard.every((each) => each === undefined)) {
      // What other slots gave is not lost for those that did not answer.
      options.late?.(merge(replies));
      if (!isOnce || !(failed.reason instanceof PassingError)) {
        throw failed.reason;
      }
      return await this.take(action, call, options, false);
    }
    return merge(replies);
  }

  #mergeTaken(
    asked: readonly Part[],
    replies: readonly (RedisReply | undefined)[],
  ): RedisReply {
    let stamp: RedisReply = null;
    const expired: RedisReply[] = [];
    const moved: RedisReply[] = [];
    let isFull = 0;
    const taken: RedisReply[] = [];
    replies.forEach((reply, i) => {
      if (!Array.isArray(reply)) {
        if (i < asked.length) taken[i] = null;
        return;
      }
      const [time, _, dead, ripe, full, entries] = reply;
      stamp ??= time ?? null;
      expired.push(...listOf(dead ?? []));
      moved.push(...listOf(ripe ?? []));
      if (full === 1) isFull = 1;
      if (i < asked.length) taken[i] = entries ?? NOTHING;
    });
    const wait = Math.max(0, this.#dues.next - this.#context.clock.now());
    const from = Array.isArray(stamp)
      ? Number(stamp[0])
      : this.#context.serverNow;
    const next = wait === Infinity ? -1 : from + wait;
    return [stamp, next, expired, moved, isFull, ...taken];
  }

  /** The queues whose messages go elsewhere when their time is over, consumed or not. */
  #letters(): ReadonlySet<string> {
    const { version, topology } = this.#context.mirror;
    if (this.#lettersOf.version !== version) {
      const queues = [...topology.queues()].filter(({ traits }) =>
        traits.deadLetterExchange !== undefined
      ).map(({ declaration }) => declaration.name);
      this.#lettersOf = { version, queues: new Set(queues) };
      this.#dues.add(queues);
    }
    return this.#lettersOf.queues;
  }
}

/** What a slot gave that gave nothing: which queue it is, and no messages. */
const NOTHING: RedisReply = [new Uint8Array()];
