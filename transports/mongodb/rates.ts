import type { CallOptions } from "../../model/call_options.ts";
import type { Rate, Rates } from "../rates.ts";
import type { Context } from "./context.ts";
import { isThereAlready } from "./errors.ts";
import type { Fields } from "./port.ts";
import { Removal } from "./removal.ts";

/** A start is kept for so much longer than it counts, ms: what removes it has another clock than what counts it. */
const KEPT = 60_000;
/** How many have begun is kept for so much longer: after it the numbers begin anew, below those of starts that are there still. */
const COUNT_KEPT = 3_600_000;

/**
 * When handlers began, for rates over all processes: of each queue and key a document that
 * counts them, and one for each, under its number. The server stamps the first with its own
 * time when it is looked at, and of two that begin at once one finds the number taken. So
 * whoever has a number has a later time than the one before, whatever this machine's clock says,
 * and a call costs the same however high the limit is. A pipeline with `$$NOW` would do it in
 * one step, but not on servers that only speak MongoDB's protocol.
 */
export class MongodbRates implements Rates {
  readonly #context: Context;
  readonly #removal: Removal;

  /** Makes them for one connection. */
  constructor(context: Context) {
    this.#context = context;
    this.#removal = new Removal(context, context.settings.names.rates);
  }

  async admit(
    queue: string,
    key: string,
    { limit, interval }: Rate,
    options?: CallOptions,
  ): Promise<number> {
    const { client, settings: { names: { rates } } } = this.#context;
    const action = `count a handler of queue "${queue}"`;
    const call = <T>(run: () => Promise<T>) =>
      this.#context.call(action, options, run);
    await this.#removal.begin(action, options);
    const idOf = (number: number) => JSON.stringify([queue, key, number]);
    for (let known = 0;;) {
      const counted = await call(() => this.#look(queue, key, known, interval));
      if (counted === undefined) continue;
      const { now, count } = counted;
      if (count >= limit) {
        const [before] = await call(() =>
          client.find(rates, { _id: idOf(count - limit) }, { limit: 1 })
        );
        const at = before === undefined ? NaN : timeOf(before.at);
        // One that is later than now counts no more: the server's clock was set back.
        if (at <= now && now - at <= interval) return at + interval + 1 - now;
      }
      const until = new Date(now + interval + KEPT);
      const isMine = await call(() =>
        isInserted(
          client.insert(rates, [{
            _id: idOf(count),
            at: new Date(now),
            until,
          }]),
        )
      );
      known = count + 1;
      if (!isMine) continue;
      await call(() => this.#look(queue, key, known, interval));
      return 0;
    }
  }

  /** Notes that so many are known to have begun; tells how many have, and the server's time. */
  async #look(
    queue: string,
    key: string,
    known: number,
    interval: number,
  ): Promise<{ readonly now: number; readonly count: number } | undefined> {
    const { client, settings: { names: { rates } } } = this.#context;
    const until = new Date(this.#context.now() + interval + COUNT_KEPT);
    try {
      const document = await client.claim(
        rates,
        { _id: JSON.stringify([queue, key]) },
        { _id: 1 },
        { $currentDate: { now: true }, $max: { count: known, until } },
        { upsert: true },
      );
      if (document === undefined) return undefined;
      return { now: timeOf(document.now), count: Number(document.count) };
    } catch (error) {
      // Somebody else has made it at the same moment.
      if (isThereAlready(error)) return undefined;
      throw error;
    }
  }
}

async function isInserted(insertion: Promise<void>): Promise<boolean> {
  try {
    await insertion;
    return true;
  } catch (error) {
    if (isThereAlready(error)) return false;
    throw error;
  }
}

function timeOf(value: Fields[string]): number {
  return value instanceof Date ? value.getTime() : NaN;
}
