import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import { inSteps } from "../../async/steps.ts";
import type {
  QuarantinedItem,
  QuarantineStore,
  Reservation,
} from "../store/store.ts";
import { decodeBody } from "./body.ts";
import type { SendEntry } from "./entry.ts";
import { requestError, sendError } from "./errors.ts";
import type { ReceivedMessage } from "./port.ts";
import type { Queues, SqsQueue } from "./queues.ts";
import type { SqsReservation } from "./reservation.ts";
import type { Settlements } from "./settlements.ts";

/** SQS's, for receives and batches. */
const MAX = 10;

/** The visibility timeout of a look into quarantine, in seconds: SQS shows no message without handing it out. */
const LOOKING = 60;

/** How long a look waits for more, in seconds: without waiting SQS asks a part of its servers alone. */
const WAIT = 1;

/**
 * Messages that could not be read or not be written again, as they were: each queue has
 * another for them, which is created with the first.
 */
export class Quarantine implements QuarantineStore {
  readonly #queues: Queues;
  readonly #settlements: Settlements;

  /** Makes one over the queues of a connection. */
  constructor(queues: Queues, settlements: Settlements) {
    this.#queues = queues;
    this.#settlements = settlements;
  }

  /** Puts messages there, and takes them out of their queues then. Returns those that were not ours. */
  async add(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    return await inSteps(async (change) => {
      const lost: Reservation[] = [];
      for (const each of reservations) {
        if (!this.#settlements.isOurs(each)) lost.push(each);
        else {
          await change(this.#add(each, options));
          const removing = this.#settlements.settle([each], "remove", options);
          lost.push(...await change(removing));
        }
      }
      return lost;
    });
  }

  async #add(
    { queue, received }: SqsReservation,
    options: CallOptions | undefined,
  ): Promise<void> {
    const entry = {
      body: () => received.body,
      delay: undefined,
      group: undefined,
      deduplication: undefined,
      formerGroup: received.group,
    };
    const place = await this.#queues.createQuarantine(queue, options);
    try {
      await send(place, entry, options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      // Somebody has deleted it.
      this.#queues.forget(place.queue);
      await send(
        await this.#queues.createQuarantine(queue, options),
        entry,
        options,
      );
    }
  }

  /** Lists the quarantined messages of a queue, as far as SQS hands them out. */
  async list(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly QuarantinedItem[]> {
    const place = await this.#queues.quarantine(queue, options);
    if (place === undefined) return [];
    const found = new Map<string, ReceivedMessage>();
    try {
      while (found.size < limit) {
        const more = await look(place, limit - found.size, found, options);
        if (!more) break;
      }
    } finally {
      await show(place, [...found.values()]);
    }
    return [...found.values()].map(({ id, body }) => ({
      handle: id,
      message: decodeBody(body, queue).message,
    }));
  }

  /** Puts the messages with these ids back into their queue, or all; returns how many. */
  async putBack(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    const place = await this.#queues.quarantine(queue, options);
    if (place === undefined) return 0;
    const target = await this.#queues.find(queue, options);
    if (target === undefined) {
      throw new NotFoundError(
        `Cannot put back the quarantined messages of queue "${queue}": there is no such queue`,
      );
    }
    const wanted = ids && new Set(ids);
    const found = new Map<string, ReceivedMessage>();
    const left = new Map<string, ReceivedMessage>();
    let count = 0;
    try {
      await inSteps(async (change) => {
        while (wanted === undefined || count < wanted.size) {
          const before = found.size;
          const more = await look(place, MAX, found, options);
          for (const each of [...found.values()].slice(before)) {
            left.set(each.id, each);
            if (wanted !== undefined && !wanted.has(each.id)) continue;
            await change(send(target, entryOf(each, target), options));
            await change(remove(place, each, options));
            left.delete(each.id);
            count++;
          }
          if (!more) break;
        }
      });
    } finally {
      await show(place, [...left.values()]);
    }
    return count;
  }
}

function entryOf(
  { body, group = "default" }: ReceivedMessage,
  { fifo }: SqsQueue,
): SendEntry {
  return {
    body: () => body,
    delay: undefined,
    group: fifo ? group : undefined,
    deduplication: fifo ? crypto.randomUUID() : undefined,
  };
}

/** Receives some more of the messages; returns whether it found a new one. */
async function look(
  { client, url }: SqsQueue,
  limit: number,
  found: Map<string, ReceivedMessage>,
  options: CallOptions = {},
): Promise<boolean> {
  const before = found.size;
  const messages = await client.receive(url, {
    limit: Math.min(MAX, limit),
    wait: WAIT,
    lease: LOOKING,
  }, options);
  for (const each of messages) found.set(each.id, each);
  return found.size > before;
}

/** Lets others look. If this fails, the messages become visible by themselves. */
async function show(
  { client, url }: SqsQueue,
  messages: readonly ReceivedMessage[],
): Promise<void> {
  for (let i = 0; i < messages.length; i += MAX) {
    const handles = messages.slice(i, i + MAX).map(({ handle }) => handle);
    await client.changeVisibility(url, handles, 0, {}).catch(() => {});
  }
}

async function send(
  { client, url, queue }: SqsQueue,
  entry: SendEntry,
  options: CallOptions = {},
): Promise<void> {
  const [failure] = await client.send(url, [entry], options);
  if (failure !== undefined) throw sendError(queue, failure);
}

async function remove(
  { client, url, queue }: SqsQueue,
  { handle }: ReceivedMessage,
  options: CallOptions = {},
): Promise<void> {
  const [failure] = await client.remove(url, [handle], options);
  if (failure === undefined) return;
  throw requestError(`take a message out of queue "${queue}"`, failure);
}
