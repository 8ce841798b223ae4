import type { CallOptions } from "../../model/call_options.ts";
import type { DelayedMessage, DelayedMessages } from "../delayed.ts";
import { secondsSince } from "../store/inspection.ts";
import { isMalformed } from "../store/quarantine.ts";
import type {
  InspectionStore,
  PeekedItem,
  QuarantinedItem,
  QuarantineStore,
  Reservation,
  StoredCounts,
} from "../store/store.ts";
import type { NatsClient } from "./client.ts";
import { isMissing } from "./errors.ts";
import { CutError, headOf, readMessage, timeLeftOf, ttlOf } from "./message.ts";
import { tokenOf } from "./names.ts";
import type { Putter } from "./putter.ts";
import type { NatsQueue, Queues, QueueState } from "./queues.ts";
import { readPages, removeStored, type Stored } from "./reader.ts";
import { LATER, type Settlements } from "./settlements.ts";

/** What looks into streams use of their connection. */
export interface ContentsContext {
  readonly client: NatsClient;
  readonly queues: Queues;
  readonly settlements: Settlements;
  readonly putter: Putter;
  /** Runs a call within its limits. */
  run<T>(
    action: string,
    options: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T>;
  /** Waits until what is on its way back is there. */
  settled(): Promise<void>;
}

/** Looks into streams, and at what is aside of a queue: what is delayed, and what is in quarantine. */
export class Contents {
  readonly inspection: InspectionStore;
  readonly quarantine: QuarantineStore;
  readonly delayed: Required<DelayedMessages>;
  readonly #context: ContentsContext;

  /** Makes one over a connection. */
  constructor(context: ContentsContext) {
    this.#context = context;
    const { run, settled } = context;
    this.inspection = {
      look: (all, options) =>
        run("look at queues", options, async () => {
          await settled();
          return await Promise.all(all.map((each) => this.#look(each)));
        }),
      peek: (queue, max, options) =>
        run(`peek at queue "${queue}"`, options, async () => {
          await settled();
          return await this.#peek(queue, max);
        }),
    };
    this.quarantine = {
      add: (all, options) =>
        run("quarantine messages", options, () => this.#add(all)),
      list: (queue, limit, options) =>
        run(
          `list the quarantine of queue "${queue}"`,
          options,
          () => this.#list(queue, limit),
        ),
      putBack: (queue, handles, options) =>
        run(
          `put back into queue "${queue}"`,
          options,
          () => this.#putBack(queue, handles),
        ),
    };
    this.delayed = {
      changeDelayed: (queue, id, delay, options) =>
        run(
          "change a delayed message",
          options,
          () => this.#changeDelayed(queue, id, delay),
        ),
      listDelayed: (queue, options) => this.#listDelayed(queue, options),
    };
  }

  /** Looks into a queue; `undefined`: it is not there. What is deleted meanwhile is made anew, if it is declared still. */
  async #into<T>(
    queue: string,
    look: (found: NatsQueue) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { queues } = this.#context;
    for (let tries = 1;; tries++) {
      const found = await queues.find(queue);
      if (found === undefined) return undefined;
      try {
        return await look(found);
      } catch (error) {
        if (!isMissing(error) || tries === 3) throw error;
        queues.forget(queue);
      }
    }
  }

  #look(queue: string): Promise<StoredCounts | undefined> {
    const { client, queues } = this.#context;
    return this.#into(queue, async (found) => {
      const { stream, quarantine } = found;
      const [counts, { state }] = await Promise.all([
        queues.look(found),
        client.call(`STREAM.INFO.${stream}`, {
          subjects_filter: quarantine,
        }),
      ]);
      if (counts === undefined) return undefined;
      const { ready, unacked } = counts;
      const { messages, bytes, subjects } = Object(state);
      const aside = Number(Object(subjects)[quarantine] ?? 0);
      const [first] = ready > 0 ? await this.#ready(found, counts, 1) : [];
      return {
        ready,
        delayed: Math.max(0, Number(messages) - ready - unacked - aside),
        unacked,
        oldestAge: secondsSince(first?.at, client.now()),
        bytes: Number(bytes),
      };
    });
  }

  async #peek(queue: string, max: number): Promise<readonly PeekedItem[]> {
    const { client, queues } = this.#context;
    const peeked = await this.#into(queue, async (found) => {
      const state = await queues.look(found);
      if (state === undefined) return undefined;
      const all = await this.#ready(found, state, max);
      return all.flatMap(({ sequence, at, message }) => {
        const left = timeLeftOf(message, at, client.now());
        if (left !== undefined && left <= 0) return [];
        const redelivered = sequence <= state.delivered;
        return [{
          message: readMessage(queue, message),
          redelivered,
          deliveryCount: redelivered ? undefined : 0,
        }];
      });
    });
    return peeked ?? [];
  }

  async #ready(
    { stream, ready }: NatsQueue,
    { held, delivered }: QueueState,
    max: number,
  ): Promise<readonly Stored[]> {
    const { client } = this.#context;
    const from = held === undefined ? delivered + 1 : 1;
    const batch = Math.min(100, max + (held?.size ?? 0));
    const found: Stored[] = [];
    const pages = readPages(client, stream, ready, { from, batch });
    for await (const page of pages) {
      found.push(
        ...page.filter(({ sequence }) => held?.has(`${sequence}`) !== true),
      );
      if (found.length >= max) break;
    }
    return found.slice(0, max);
  }

  async *#listDelayed(
    queue: string,
    options?: CallOptions,
  ): AsyncIterable<readonly DelayedMessage[]> {
    const action = `list the delayed messages of queue "${queue}"`;
    const pages = this.#delayedPages(queue)[Symbol.asyncIterator]();
    for (;;) {
      const { run } = this.#context;
      const page = await run(action, options, () => pages.next());
      if (page.done === true) return;
      yield page.value;
    }
  }

  async *#delayedPages(
    queue: string,
  ): AsyncIterable<readonly DelayedMessage[]> {
    const { client, queues } = this.#context;
    const found = await queues.find(queue);
    if (found === undefined) return;
    const { stream, delayed } = found;
    for await (
      const page of readPages(client, stream, `${delayed}.>`, {
        batch: 50,
      })
    ) {
      const listed = page.flatMap(({ sequence, message: stored }) => {
        const message = readMessage(queue, stored);
        const delay = dueOf(stored.headers?.get("Nats-Schedule")) -
          client.now();
        if (isMalformed(message) || !(delay > 0)) return [];
        const remove = () => removeStored(client, stream, sequence);
        return [{ delay, message, remove }];
      });
      if (listed.length > 0) yield listed;
    }
  }

  /** Cancels a delayed message, or moves it: for a moment it is there twice. */
  async #changeDelayed(
    queue: string,
    messageId: string,
    delay: number | undefined,
  ): Promise<boolean> {
    const { client, queues, putter } = this.#context;
    const found = await queues.find(queue);
    if (found === undefined) return false;
    const { stream } = found;
    const subject = `${found.delayed}.${tokenOf(messageId)}.*`;
    for await (const page of readPages(client, stream, subject)) {
      for (const { sequence, message: stored } of page) {
        const message = readMessage(queue, stored);
        if (isMalformed(message)) continue;
        const written = delay === undefined ? [] : await putter.put([{
          queue,
          ttl: ttlOf(stored),
          message: { ...message, delay, republished: true },
        }]);
        if (await removeStored(client, stream, sequence)) return true;
        // It was due meanwhile, or somebody else was faster.
        for (const each of written) {
          await removeStored(client, stream, each);
        }
      }
    }
    return false;
  }

  /** Copies messages, as they came, to where no consumer takes them: should the process end then, there are two. */
  async #add(all: readonly Reservation[]): Promise<readonly Reservation[]> {
    const { putter, settlements } = this.#context;
    const isCut = ({ message }: Reservation) =>
      isMalformed(message) && message.error instanceof CutError;
    const whole = all.filter((each) => !isCut(each));
    const ours = whole.flatMap((each) =>
      settlements.isOurs(each) ? [each] : []
    );
    await Promise.all(
      ours.map(({ from, received }) =>
        putter.publish(from.quarantine, received.data, headOf(received))
      ),
    );
    return [
      ...await settlements.settle(whole, "+ACK"),
      // Its body is at the server alone.
      ...await settlements.settle(all.filter(isCut), LATER),
    ];
  }

  /** Lists what is in quarantine. */
  async #list(
    queue: string,
    limit: number,
  ): Promise<readonly QuarantinedItem[]> {
    const found: QuarantinedItem[] = [];
    for await (const { sequence, message } of this.#aside(queue)) {
      if (found.length >= limit) break;
      found.push({
        handle: String(sequence),
        message: readMessage(queue, message),
      });
    }
    return found;
  }

  /** Puts what is in quarantine to the end of its queue; returns how many. */
  async #putBack(
    queue: string,
    handles: readonly string[] | undefined,
  ): Promise<number> {
    const { client, queues, putter } = this.#context;
    let count = 0;
    for await (const { sequence, message } of this.#aside(queue)) {
      if (handles?.includes(String(sequence)) === false) continue;
      const { ready, stream } = queues.names(queue);
      await putter.publish(ready, message.data, headOf(message));
      await removeStored(client, stream, sequence);
      count++;
    }
    return count;
  }

  async *#aside(queue: string): AsyncIterable<Stored> {
    const { client, queues } = this.#context;
    const found = await queues.find(queue);
    if (found === undefined) return;
    const { stream, quarantine } = found;
    for await (const page of readPages(client, stream, quarantine)) {
      yield* page;
    }
  }
}

/** When a schedule is due, ms since 1970. */
function dueOf(schedule: string | undefined): number {
  return Date.parse(/^@at (.*)$/.exec(schedule ?? "")?.[1] ?? "");
}
