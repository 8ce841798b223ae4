import type { CallOptions } from "../../model/call_options.ts";
import { inSteps } from "../../async/steps.ts";
import type { QuarantinedItem } from "../store/store.ts";
import { readBody, Statistics, timeLeft } from "./body.ts";
import type { Reply } from "./client.ts";
import type { Deletions } from "./deletions.ts";
import type { Expiry } from "./expiry.ts";
import {
  type Commands,
  join,
  type Link,
  type LinkCall,
  type LinkContext,
} from "./link.ts";
import { reserveCommands, reservedIn } from "./jobs.ts";
import type { Tubes } from "./tubes.ts";

/** How many jobs are removed in one go. */
const BATCH = 64;

/** The services that queues use of their store. */
export interface QueuesHost {
  readonly context: LinkContext;
  readonly tubes: Tubes;
  readonly expiry: Expiry;
  readonly deletions: Deletions;
  /** The socket for everything that does not wait. */
  readonly link: Link;
}

/** Counts and empties queues: beanstalkd has no command to do it with. */
export class Queues {
  readonly #host: QueuesHost;

  /** Makes one over a store's socket. */
  constructor(host: QueuesHost) {
    this.#host = host;
  }

  /** Counts the ready messages, without those that have expired at the head; `undefined` if there is no such tube. */
  async count(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    const { link, tubes, expiry } = this.#host;
    const [reply] = await link.call(
      { text: `stats-tube ${tubes.of(queue)}\r\n`, count: 1 },
      { deadline: options?.deadline, action: `count queue "${queue}"` },
    );
    if (reply?.word !== "OK") return undefined;
    const ready = new Statistics(reply.body).number("current-jobs-ready");
    if (ready === 0) return 0;
    const { count } = await expiry.sweep(queue, options);
    return Math.max(0, ready - count);
  }

  /** Deletes the ready messages; returns how many, without those that had expired. */
  async purge(queue: string, options?: CallOptions): Promise<number> {
    const { link, tubes } = this.#host;
    const tube = tubes.of(queue);
    const call = {
      deadline: options?.deadline,
      action: `purge queue "${queue}"`,
    };
    return await inSteps(async (change) => {
      let count = 0;
      for (;;) {
        // Watched anew each time: a `get` may come in between.
        const replies = await link.call(
          join(link.watch(new Set([tube])), reserveCommands(BATCH)),
          call,
        );
        const reserved = reservedIn(replies);
        count += await change(this.#deleteAll(reserved, call));
        if (reserved.length < BATCH) return count;
      }
    });
  }

  /** Deletes jobs that we hold; returns how many of them had not expired. */
  async #deleteAll(
    reserved: readonly Reply[],
    call: LinkCall,
  ): Promise<number> {
    if (reserved.length === 0) return 0;
    const { context, link } = this.#host;
    const lives = reserved.map(({ body }) =>
      readBody(body ?? new Uint8Array()).life
    );
    const text = reserved.map(({ number }, i) =>
      `${
        lives[i] === undefined ? "" : `stats-job ${number}\r\n`
      }delete ${number}\r\n`
    );
    const asked = lives.filter((life) => life !== undefined);
    const replies = await link.call(
      { text: text.join(""), count: reserved.length + asked.length },
      call,
    );
    const told = replies.filter(({ word }) =>
      word !== "DELETED" && word !== "NOT_FOUND"
    );
    const wall = context.clock.wall();
    const over = asked.filter((life, i) =>
      timeLeft(life, new Statistics(told[i]?.body).number("age"), wall) <= 0
    );
    return reserved.length - over.length;
  }

  /** Deletes everything that is in a queue, what is delayed or set aside too; returns how many were ready. */
  async delete(queue: string, options?: CallOptions): Promise<number> {
    const { link, tubes, deletions } = this.#host;
    const tube = tubes.of(queue);
    const call = {
      deadline: options?.deadline,
      action: `delete queue "${queue}"`,
    };
    const [known] = await link.call(
      { text: `stats-tube ${tube}\r\n`, count: 1 },
      call,
    );
    if (known?.word !== "OK") return 0;
    const statistics = new Statistics(known.body);
    return await inSteps(async (change) => {
      await change(deletions.begin(queue, statistics));
      const count = statistics.number("current-jobs-ready") > 0
        ? await this.purge(queue, options)
        : 0;
      for (const state of ["delayed", "buried"]) {
        if (statistics.number(`current-jobs-${state}`) === 0) continue;
        for (;;) {
          const peek: Commands = { text: `peek-${state}\r\n`, count: 1 };
          const found = (await link.call(join(link.use(tube), peek), call))
            .at(-1);
          if (found?.word !== "FOUND") break;
          await link.call(
            { text: `delete ${found.number}\r\n`, count: 1 },
            call,
          );
        }
      }
      await deletions.end(queue);
      return count;
    });
  }

  /** Lists what is buried in a queue: beanstalkd tells of the oldest alone. */
  list(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly QuarantinedItem[]> {
    return this.#host.context.lifeline.run(
      `list the quarantined messages of queue "${queue}"`,
      options,
      () => this.#listBuried(queue, limit, options),
    );
  }

  async #listBuried(
    queue: string,
    limit: number,
    options: CallOptions | undefined,
  ): Promise<readonly QuarantinedItem[]> {
    const found = limit > 0 ? await this.#buried(queue, options) : undefined;
    if (found === undefined) return [];
    const { message } = readBody(found.body ?? new Uint8Array());
    return [{ handle: String(found.number), message }];
  }

  /** Kicks what is buried in a queue; returns how many. */
  putBack(
    queue: string,
    handles: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    return this.#host.context.lifeline.run(
      `put back into queue "${queue}"`,
      options,
      () => this.#kick(queue, handles, options),
    );
  }

  async #kick(
    queue: string,
    handles: readonly string[] | undefined,
    options: CallOptions | undefined,
  ): Promise<number> {
    const { link } = this.#host;
    const call = {
      deadline: options?.deadline,
      action: `put back into queue "${queue}"`,
    };
    // One by one: a kick of many would take what is delayed when nothing is buried.
    const kick = async (id: number | string) => {
      const [reply] = await link.call(
        { text: `kick-job ${id}\r\n`, count: 1 },
        call,
      );
      return reply?.word === "KICKED";
    };
    return await inSteps(async (change) => {
      let count = 0;
      if (handles !== undefined) {
        for (const each of handles) {
          if (/^\d+$/.test(each) && await change(kick(each))) count++;
        }
        return count;
      }
      // No more than there are now: what is buried again meanwhile stays.
      let left = await this.#countBuried(queue, options);
      for (; left > 0; left--) {
        const found = await this.#buried(queue, options);
        if (found === undefined) break;
        if (await change(kick(found.number))) count++;
      }
      return count;
    });
  }

  async #countBuried(queue: string, options?: CallOptions): Promise<number> {
    const { link, tubes } = this.#host;
    const [reply] = await link.call(
      { text: `stats-tube ${tubes.of(queue)}\r\n`, count: 1 },
      { deadline: options?.deadline, action: `count queue "${queue}"` },
    );
    if (reply?.word !== "OK") return 0;
    return new Statistics(reply.body).number("current-jobs-buried");
  }

  async #buried(
    queue: string,
    options?: CallOptions,
  ): Promise<Reply | undefined> {
    const { link, tubes } = this.#host;
    const peek: Commands = { text: "peek-buried\r\n", count: 1 };
    const replies = await link.call(join(link.use(tubes.of(queue)), peek), {
      deadline: options?.deadline,
      action: `look at the buried jobs of queue "${queue}"`,
    });
    const found = replies.at(-1);
    return found?.word === "FOUND" ? found : undefined;
  }
}
