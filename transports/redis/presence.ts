import { Pauses } from "../../async/pause.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { planOwnerGone } from "../../virtual/declare.ts";
import { OWNER_TTL } from "../store/leases.ts";
import { NotNowError } from "../connection_errors.ts";
import type { PresenceStore } from "../store/store.ts";
import type { Context } from "./context.ts";
import { PassingError, takenForDeadError } from "./errors.ts";
import type { Refusing } from "./refusing.ts";
import type { Sweeper } from "./sweeper.ts";
import type { Tables } from "./tables.ts";
import { useConsumed } from "./usage.ts";

/** When a beginning that was refused is tried again, ms: at first, and at the most. */
const FIRST_PAUSE = 500;
const LAST_PAUSE = 5000;

/** What a presence uses of its connection. */
interface PresenceParts {
  readonly sweeper: Sweeper;
  readonly tables: Tables;
  readonly refusing: Refusing;
}

/** Says that the owner of a connection lives, and sees to those that do not. */
export class Presence implements PresenceStore {
  readonly #context: Context;
  readonly #parts: PresenceParts;
  readonly #pauses: Pauses;
  readonly #operationTimeout: number;
  /** Whether this connection has said once that its owner lives. */
  #isKnown = false;

  /** Makes one that has said nothing yet. */
  constructor(
    context: Context,
    parts: PresenceParts,
    operationTimeout: number,
  ) {
    this.#context = context;
    this.#parts = parts;
    this.#pauses = new Pauses(context.clock);
    this.#operationTimeout = operationTimeout;
  }

  /**
   * Says so for the first time, and gives back what an earlier connection of the owner's held.
   * A server, or a cluster's node, that takes no writes for now is no reason not to connect: it
   * is tried again, and what can be read is, and in a cluster the others go on.
   *
   * @param hasOthers Whether another server is dialled where this one refuses.
   */
  async begin(options: CallOptions, hasOthers: boolean): Promise<void> {
    try {
      await this.#begin(options);
    } catch (error) {
      if (hasOthers || !this.#mayComeLater(error)) throw error;
      this.#refused(error);
      void this.#beginLater();
    }
  }

  async heartbeat(
    owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    const { sweeper, tables } = this.#parts;
    const wasKnown = this.#isKnown;
    const { known, dead } = await sweeper.beat(owner, ttl, options);
    this.#isKnown = true;
    await sweeper.reclaim(dead, options);
    const [left, done]: [string[], string[]] = [[], []];
    for (const each of dead) {
      const of = { type: "owner", name: each } as const;
      const { topology } = await tables.read(of, options);
      (planOwnerGone(topology, each).length === 0 ? done : left).push(each);
    }
    // Not before: the process that removes their queues may end before it is done.
    await sweeper.forget(done, options);
    // A consumer that is busy does not take: its queue is in use all the same.
    await useConsumed(this.#context, owner, options);
    if (wasKnown && !known) {
      this.#context.commands.destroy(takenForDeadError());
    }
    return left;
  }

  /** Begins no more. */
  stop(): void {
    this.#pauses.end();
  }

  async #begin(options: CallOptions): Promise<void> {
    const { sweeper, refusing } = this.#parts;
    const { owner } = this.#context;
    const { known, dead } = await sweeper.beat(owner, OWNER_TTL, options);
    this.#isKnown = true;
    await sweeper.reclaim(dead, options);
    // An earlier connection of this session's was lost: its messages go back at once.
    if (known) await sweeper.reclaim([owner], options);
    refusing.end(this);
  }

  /** Never rejects. */
  async #beginLater(): Promise<void> {
    const { clock } = this.#context;
    for (let wait = FIRST_PAUSE;; wait = Math.min(2 * wait, LAST_PAUSE)) {
      await this.#pauses.wait(wait);
      if (this.#pauses.hasEnded) return;
      try {
        const deadline = clock.now() + this.#operationTimeout;
        return await this.#begin({ deadline });
      } catch (error) {
        if (this.#pauses.hasEnded) return;
        this.#refused(error);
      }
    }
  }

  /** Whether a server does not do now what it will do: to say that we live, or, of another node, to give back. */
  #mayComeLater(error: unknown): boolean {
    return error instanceof NotNowError ||
      (this.#isKnown && error instanceof PassingError);
  }

  #refused(error: unknown): void {
    if (!(error instanceof NotNowError)) return;
    this.#parts.refusing.begin(this, error.reply);
  }
}
