import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  type FoundMark,
  type KeptMark,
  type MarkTable,
  readMark,
} from "../store/put_once.ts";
import type { Context } from "./context.ts";
import { isThereAlready } from "./errors.ts";
import { Removal } from "./removal.ts";

const LEAVE = "leave the mark of a message";

/** The marks of messages that are published once: a document each, which the server removes. */
export class Marks implements MarkTable {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly #context: Context;
  readonly #removal: Removal;

  /** Makes them for one connection. */
  constructor(context: Context) {
    this.#context = context;
    this.#removal = new Removal(context, context.settings.names.marks);
    this.limits = context.limits;
    this.clock = context.clock;
  }

  now(): number {
    return this.#context.now();
  }

  handleFor(): unknown {
    return this.#context.client.newId();
  }

  async read(
    key: string,
    options?: CallOptions,
  ): Promise<FoundMark | undefined> {
    const { client, settings: { names } } = this.#context;
    await this.#removal.begin(LEAVE, options);
    const [document] = await this.#context.call(
      LEAVE,
      options,
      () => client.find(names.marks, { _id: key }, { limit: 1 }),
    );
    if (document === undefined) return undefined;
    return readMark(document, String(document.revision));
  }

  async write(
    key: string,
    mark: KeptMark,
    before: FoundMark | undefined,
    options?: CallOptions,
  ): Promise<FoundMark | undefined> {
    const { client, settings: { names } } = this.#context;
    const revision = crypto.randomUUID();
    const fields = {
      token: mark.token,
      until: new Date(mark.until),
      handles: mark.handles,
      revision,
      pending: mark.pending === undefined ? null : new Date(mark.pending),
    };
    const isWritten = await this.#context.call(LEAVE, options, async () => {
      if (before === undefined) {
        try {
          await client.insert(names.marks, [{ _id: key, ...fields }]);
          return true;
        } catch (error) {
          if (isThereAlready(error)) return false;
          throw error;
        }
      }
      const { matched } = await client.update(names.marks, [{
        filter: { _id: key, revision: before.revision },
        update: { $set: fields },
      }], { safe: true });
      return matched > 0;
    });
    return isWritten ? { ...mark, revision } : undefined;
  }

  async remove(
    key: string,
    { revision }: FoundMark,
    options?: CallOptions,
  ): Promise<void> {
    const { client, settings: { names } } = this.#context;
    await this.#context.call(
      LEAVE,
      options,
      () => client.remove(names.marks, [{ _id: key, revision }]),
    );
  }
}
