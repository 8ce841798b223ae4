import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";

/** A collection whose documents the server removes when their `until` is over. */
export class Removal {
  readonly #context: Context;
  readonly #collection: string;
  #beginning: Promise<void> | undefined;

  /** Makes it for one collection of a connection. */
  constructor(context: Context, collection: string) {
    this.#context = context;
    this.#collection = collection;
  }

  /** The first call of a connection makes the index by which the server removes them. */
  async begin(action: string, options?: CallOptions): Promise<void> {
    this.#beginning ??= this.#context.client.ensureIndex(
      this.#collection,
      { until: 1 },
      { expireAfterSeconds: 0 },
    ).catch((error: unknown) => {
      this.#beginning = undefined;
      throw error;
    });
    const beginning = this.#beginning;
    await this.#context.call(action, options, () => beginning);
  }
}
