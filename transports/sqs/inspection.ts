import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import { mapAtOnce } from "../../async/each.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { InspectionStore, StoredCounts } from "../store/store.ts";
import type { AttributeName } from "./port.ts";
import type { Queues } from "./queues.ts";

/** So many queues are asked about at once, by a request each. */
const AT_ONCE = 10;

const COUNTS: readonly AttributeName[] = [
  "ApproximateNumberOfMessages",
  "ApproximateNumberOfMessagesDelayed",
  "ApproximateNumberOfMessagesNotVisible",
];

/** Looks at queues at AWS, whose numbers are approximate. Messages are not to be seen without receiving them. */
export class SqsInspection implements InspectionStore {
  readonly #queues: Queues;
  readonly #lifeline: Lifeline;
  readonly #settled: () => Promise<unknown>;

  /** Makes one; `settled` waits until messages that are on their way back have arrived. */
  constructor(
    queues: Queues,
    lifeline: Lifeline,
    settled: () => Promise<unknown>,
  ) {
    this.#queues = queues;
    this.#lifeline = lifeline;
    this.#settled = settled;
  }

  names(limits: () => CallOptions): AsyncIterable<readonly string[]> {
    return this.#queues.names(limits);
  }

  async look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly (StoredCounts | undefined)[]> {
    const refusal = this.#lifeline.refusal("look at queues", options);
    if (refusal !== undefined) throw refusal;
    await this.#lifeline.wait("look at queues", options, this.#settled());
    return await mapAtOnce(
      queues,
      AT_ONCE,
      (each) => this.#look(each, options),
    );
  }

  async #look(
    queue: string,
    options?: CallOptions,
  ): Promise<StoredCounts | undefined> {
    try {
      const found = await this.#queues.find(queue, options);
      if (found === undefined) return undefined;
      const told = await this.#queues.attributes(found, COUNTS, options);
      const number = (text: string | undefined) =>
        text === undefined ? undefined : Number(text);
      return {
        ready: number(told?.ApproximateNumberOfMessages),
        delayed: number(told?.ApproximateNumberOfMessagesDelayed),
        unacked: number(told?.ApproximateNumberOfMessagesNotVisible),
        oldestAge: undefined,
        bytes: undefined,
      };
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      return undefined; // it was deleted meanwhile
    }
  }
}
