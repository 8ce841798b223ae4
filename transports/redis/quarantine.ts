import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import type {
  QuarantinedItem,
  QuarantineStore,
  Reservation,
} from "../store/store.ts";
import { digest } from "./client.ts";
import type { Context } from "./context.ts";
import type { News } from "./news.ts";
import type { Settlements } from "./settlements.ts";
import { readStored } from "./stored.ts";

/** How many are read at once. */
const PAGE = 100;

interface Found {
  readonly handle: string;
  readonly bytes: Uint8Array;
}

/** The quarantine of queues: a list beside each, which nobody takes of. A handle is a digest of an entry's bytes. */
export class Quarantine implements QuarantineStore {
  readonly #context: Context;
  readonly #news: News;
  readonly #settlements: Settlements;

  /** Makes one for a connection; `news` hears of queues that get messages back. */
  constructor(context: Context, news: News, settlements: Settlements) {
    this.#context = context;
    this.#news = news;
    this.#settlements = settlements;
  }

  /** Quarantines messages. */
  add(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return this.#settlements.setAside(reservations, options);
  }

  /** Lists the quarantined entries of a queue, the oldest first. */
  async list(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly QuarantinedItem[]> {
    const listed: QuarantinedItem[] = [];
    for await (const { handle, bytes } of this.#all(queue, options)) {
      listed.push({ handle, message: readStored(bytes).message });
      if (listed.length === limit) break;
    }
    return listed;
  }

  /** Puts the quarantined entries of a queue back to its end; returns how many. */
  async putBack(
    queue: string,
    handles: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    const { layout, mirror } = this.#context;
    const wanted = handles && new Set(handles);
    const found: Found[] = [];
    for await (const each of this.#all(queue, options)) {
      if (wanted?.has(each.handle) !== false) found.push(each);
    }
    const action = `put back into queue "${queue}"`;
    let count = 0;
    for (const { bytes } of found) {
      const { message } = readStored(bytes);
      const priority = "error" in message
        ? undefined
        : message.properties.priority;
      const list = layout.key(queue) +
        this.#context.suffixOf(queue, priority);
      const expires = mirror.expiresOf(queue) ?? "";
      const args = [queue, list, bytes, "LPUSH", expires];
      const put = await this.#context.run("back", action, args, options);
      if (Number(put) < 0) {
        throw new NotFoundError(
          `Cannot ${action}: nobody has used it for its x-expires; declare it first`,
        );
      }
      count += Number(put);
    }
    if (count > 0) this.#news.ring(queue);
    return count;
  }

  /** Goes through the list from its end, where the oldest are. */
  async *#all(queue: string, options?: CallOptions): AsyncIterable<Found> {
    const { commands, layout } = this.#context;
    const action = `read the quarantined messages of queue "${queue}"`;
    for (let last = -1;; last -= PAGE) {
      const page = await commands.send(
        action,
        ["LRANGE", layout.malformed(queue), last - PAGE + 1, last],
        options,
      );
      const texts = (Array.isArray(page) ? page : [])
        .filter((each) => each instanceof Uint8Array);
      for (const bytes of texts.reverse()) {
        // Equal messages have equal names: it does not matter which of them goes first.
        yield { handle: digest(bytes), bytes };
      }
      if (texts.length < PAGE) return;
    }
  }
}
