import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";

/**
 * The owners that are alive: a document for each, with the time until which it counts as
 * alive. An owner that is found dead stays, marked, for as long again: so that somebody
 * else deletes its entities if its finder dies on the way.
 */
export class Owners {
  readonly #context: Context;
  #begun = false;

  /** Makes them for one connection. */
  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Says that an owner is alive.
   *
   * @returns Whether it had been taken for dead.
   */
  async beat(
    owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<boolean> {
    const { client, settings: { names } } = this.#context;
    const until = new Date(this.#context.now() + ttl);
    return await this.#context.call(
      "say that we are alive",
      options,
      async () => {
        const alive = await client.update(names.owners, [{
          filter: { _id: owner, dead: null },
          update: { $set: { until } },
        }], { safe: true });
        if (alive.matched > 0) {
          this.#begun = true;
          return false;
        }
        await client.update(names.owners, [{
          filter: { _id: owner },
          update: { $set: { until }, $unset: { dead: "" } },
          upsert: true,
        }], { safe: true });
        const wasDead = this.#begun;
        this.#begun = true;
        return wasDead;
      },
    );
  }

  /** Finds those who have not beaten in time; each is found by one. */
  async findDead(
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    const { client, settings: { names } } = this.#context;
    const now = new Date(await this.#context.freshNow());
    return await this.#context.call("look for the dead", options, async () => {
      const late = await client.find(
        names.owners,
        { until: { $lt: now } },
        { limit: 100 },
      );
      const found: string[] = [];
      for (const { _id, dead, until } of late) {
        const filter = { _id, until };
        const mine = dead === true
          ? await client.remove(names.owners, [filter])
          : (await client.update(names.owners, [{
            filter,
            update: {
              $set: { dead: true, until: new Date(now.getTime() + ttl) },
            },
          }], { safe: true })).matched;
        if (mine > 0) found.push(String(_id));
      }
      return found;
    });
  }

  /** Forgets one that has gone. */
  async forget(owner: string, options?: CallOptions): Promise<void> {
    const { client, settings: { names } } = this.#context;
    await this.#context.call(
      "say that we are gone",
      options,
      () => client.remove(names.owners, [{ _id: owner }]),
    );
  }
}
