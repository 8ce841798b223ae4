import type { CallOptions } from "../../model/call_options.ts";
import { otherLayout } from "../connection_errors.ts";
import { isThereAlready } from "./errors.ts";
import type { Context } from "./context.ts";
import type { Fields } from "./port.ts";

/** The id of the document that counts the changes, and locks them. */
const VERSION = "version";
/** A lock that is older is of somebody who died with it, ms. */
const LOCK_TTL = 10_000;
/** Between two looks whether the holder of a lock is dead, ms: waiters must not slow down a living one. */
const LOOK_EVERY = 250;
const UNLOCKED = { lock: "", locked_by: "", locked_until: "" };

/**
 * The version of the layout of all collections, which the document that counts carries;
 * without one it is the first, as 0.1.0 wrote it. A later layout has another number here, and
 * leaves there a lock that never ends and a count that is none: then 0.1.0 neither declares
 * nor publishes anything more.
 */
const LAYOUT = 1;

/** How many changes the tables have seen. */
export interface Version {
  /** All of them. */
  readonly changes: number;
  /** The number of changes after which messages may take another route. */
  readonly routes: number;
}

/**
 * Counts the changes of the tables, which one at a time may make: who planned on a
 * count that is no more plans again. There are no transactions on a server without
 * replicas.
 */
export class Versions {
  readonly #context: Context;
  readonly #owner: string;
  /** When the lock of a dead connection was looked for, on the clock. */
  #lookedAt = -Infinity;

  /** Makes it for one connection of an owner. */
  constructor(context: Context, owner: string) {
    this.#context = context;
    this.#owner = owner;
  }

  /** Begins to count, where nobody has; and takes away the lock of an earlier connection of the owner, which was lost with it. */
  async open(options: CallOptions): Promise<void> {
    const { client, settings: { names } } = this.#context;
    await this.#context.call("open the tables", options, async () => {
      const [there] = await client.find(
        names.topology,
        { _id: VERSION },
        { limit: 1 },
      );
      refuseOtherLayout(there);
      if (there !== undefined) {
        if (there.locked_by === this.#owner) {
          await this.#unlockAll({ locked_by: this.#owner });
        }
        return;
      }
      await client.update(names.topology, [{
        filter: { _id: VERSION },
        update: { $setOnInsert: { changes: 0, routes: 0, layout: LAYOUT } },
        upsert: true,
      }], { safe: true }).catch((error: unknown) => {
        // Two that come first at once: the other one has made it.
        if (!isThereAlready(error)) throw error;
      });
    });
  }

  /** Reads the counts. */
  async read(options?: CallOptions): Promise<Version> {
    const { client, settings: { names } } = this.#context;
    const [found] = await this.#context.call(
      "read the tables",
      options,
      () => client.find(names.topology, { _id: VERSION }, { limit: 1 }),
    );
    refuseOtherLayout(found);
    return {
      changes: Number(found?.changes ?? 0),
      routes: Number(found?.routes ?? 0),
    };
  }

  /** Locks the tables as they are at a count; `false` if they are not, or somebody else has locked them. */
  async lock(
    lock: string,
    { changes }: Version,
    options?: CallOptions,
  ): Promise<boolean> {
    const { client, settings: { names } } = this.#context;
    const now = this.#context.now();
    const taken = await this.#context.call(
      "lock the tables",
      options,
      () =>
        client.update(names.topology, [{
          filter: {
            _id: VERSION,
            changes,
            lock: null,
            layout: { $in: [null, LAYOUT] },
          },
          update: {
            $set: {
              lock,
              locked_by: this.#owner,
              locked_until: new Date(now + LOCK_TTL),
            },
          },
        }], { safe: true }),
    );
    if (taken.matched > 0) return true;
    const at = this.#context.clock.now();
    if (at - this.#lookedAt > LOOK_EVERY) {
      this.#lookedAt = at;
      await this.#unlockDead(options);
    }
    await this.#context.lifeline.sleep(5 + Math.random() * 10);
    return false;
  }

  /** Takes away the lock of one that died with it. */
  #unlockDead(options?: CallOptions): Promise<void> {
    return this.#context.call(
      "lock the tables",
      options,
      async () => {
        const sure = new Date(await this.#context.freshNow());
        await this.#unlockAll({ locked_until: { $lt: sure } });
      },
    );
  }

  /** Counts a change, and unlocks the tables. */
  async unlock(lock: string, concernsRoutes: boolean): Promise<void> {
    const { client, settings: { names } } = this.#context;
    await this.#context.callAgain(
      "unlock the tables",
      () =>
        client.update(names.topology, [{
          filter: { _id: VERSION, lock },
          update: {
            $inc: { changes: 1, routes: concernsRoutes ? 1 : 0 },
            $set: { layout: LAYOUT },
            $unset: UNLOCKED,
          },
        }], { safe: true }),
    );
  }

  /** A change that a dead connection left half-way counts like any other. */
  #unlockAll(whose: Fields): Promise<unknown> {
    const { client, settings: { names } } = this.#context;
    return client.update(names.topology, [{
      filter: { _id: VERSION, ...whose },
      update: { $inc: { changes: 1, routes: 1 }, $unset: UNLOCKED },
    }], { safe: true });
  }
}

function refuseOtherLayout(counts: Fields | undefined): void {
  const layout = counts?.layout;
  if (layout === undefined || Number(layout) === LAYOUT) return;
  throw otherLayout("its collections", layout, LAYOUT);
}
