import { DELIVERY_COUNTS } from "../../model/delivery_counts.ts";
import { UnroutableError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { deathsOf } from "../consume/deaths.ts";
import {
  checkRateLimit,
  RateLimit,
  type RateLimitOptions,
} from "../consume/rate_limit.ts";
import { ALONE } from "../middleware/wrapping.ts";
import type { Queue } from "../entities/queue.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { Message } from "../consume/message.ts";
import { checkCount, type OperationOptions } from "../operation_options.ts";
import type { Producer } from "../publish/producer.ts";
import type { QueueHandle } from "./queue_handle.ts";
import { sleep } from "./retry.ts";
import type { Session } from "./session.ts";
import { AT_ONCE, sift } from "./sift.ts";
import { queueNameIn } from "./tables.ts";

/** Options of `connection.redrive`. */
export interface RedriveOptions extends OperationOptions {
  /** The queue to put them into. @default {the one that each came from, by its `x-death`} */
  readonly to?: Queue | string | undefined;
  /** The maximum number of messages to take, of those that `filter` lets through. @default {as many as there are when it begins} */
  readonly limit?: number | undefined;
  /**
   * Says which of them are put back. The others stay, in their order where the broker puts a
   * message that is given back in its place. It sees a message as it lies there, before any
   * middleware. @default {all}
   */
  readonly filter?: ((message: Message<unknown>) => boolean) | undefined;
  /** The maximum number that is put back in any `interval`, ms. @default {as fast as it goes} */
  readonly rateLimit?:
    | Pick<RateLimitOptions, "limit" | "interval">
    | undefined;
  /**
   * Called with the numbers so far each time that some are put back, or could not be: they
   * tell how far it is, and where it fails, how far it came.
   */
  readonly onProgress?: ((soFar: Redriven) => void) | undefined;
}

const REDRIVE: KnownOptions = optionsOf<RedriveOptions>("connection.redrive", {
  to: true,
  limit: true,
  filter: "function",
  rateLimit: true,
  onProgress: "function",
  signal: true,
  timeout: true,
});

/** The result of redriving dead letters. */
export interface Redriven {
  /** How many are where they came from. */
  readonly moved: number;
  /** How many say of no other queue that they came from it, and stay. */
  readonly kept: number;
}

/** Headers that tell of an earlier life, but for the attempts, which a publish drops itself. */
const OF_A_DEATH = /^x-(?:death$|(?:first|last)-death-|error-)/;

/**
 * Puts dead letters back to where they came from, a hundred at once, and of large ones about
 * 16 MiB: each is published, and only then acked. They begin anew, without the headers that tell of their deaths and attempts.
 *
 * @param session The session, which knows the names that the broker chose.
 * @param from The queue that they lie in.
 * @param producer The producer that publishes them.
 * @param options The destination, and the maximum number.
 * @returns Their number, by result.
 */
export async function redrive(
  session: Session,
  from: QueueHandle,
  producer: Producer,
  options: RedriveOptions,
): Promise<Redriven> {
  checkKnown(options, REDRIVE);
  const { to: target, limit, filter, rateLimit, onProgress, ...call } = options;
  const to = target === undefined
    ? undefined
    : queueNameIn(session, target, "redrive");
  if (to === from.name) {
    throw new RangeError(
      `Cannot redrive the messages of queue "${to}" to itself: "to" must be another queue`,
    );
  }
  if (limit !== undefined) checkCount("limit", limit, Number.MAX_SAFE_INTEGER);
  const pace = paceOf(session, rateLimit);
  const { timeout } = call;
  const { done, kept } = await sift(
    from,
    {
      ...call,
      action: "redrive",
      knowsQueues: () => session.capabilities.has("known-queues"),
      limit,
      filter,
      onProgress: ({ done, kept }) => onProgress?.({ moved: done, kept }),
      atOnce: atOnceBy(rateLimit),
    },
    async (message) => {
      const queue = to ?? originOf(message);
      // One that died in this queue would lose what tells why, and stay dead.
      if (queue === undefined || queue === from.name) return false;
      await pace?.(call);
      try {
        // Without the signal: what has begun is waited for, or it might be in both queues.
        await putInto(queue, message, producer, { timeout });
      } catch (error) {
        // Its queue is gone: those of others may go on.
        if (error instanceof UnroutableError && to === undefined) return false;
        throw error;
      }
      await message.ack({ timeout });
      return true;
    },
  );
  return { moved: done, kept };
}

/** So many are taken at once that each has its turn within a second. */
function atOnceBy(rateLimit: RedriveOptions["rateLimit"]): number {
  if (rateLimit === undefined) return AT_ONCE;
  const { limit, interval } = rateLimit;
  const perSecond = Math.floor(limit * 1000 / interval);
  return Math.min(AT_ONCE, Math.max(1, perSecond));
}

/** Waits until one more may be put back, and counts it. */
function paceOf(
  { clock, limits }: Session,
  rateLimit: RedriveOptions["rateLimit"],
): ((call: OperationOptions) => Promise<void>) | undefined {
  if (rateLimit === undefined) return undefined;
  checkRateLimit(rateLimit);
  const rate = new RateLimit(rateLimit, clock);
  return async ({ signal }) => {
    for (let delay; (delay = rate.delay("")) > 0;) {
      await sleep(delay, { signal }, clock, limits);
    }
    rate.note("");
  };
}

/** The queue in which a message died first. */
function originOf({ headers }: Message<unknown>): string | undefined {
  const first = headers["x-first-death-queue"];
  return typeof first === "string" ? first : deathsOf(headers).at(-1)?.queue;
}

async function putInto(
  queue: string,
  message: Message<unknown>,
  producer: Producer,
  call: OperationOptions,
): Promise<void> {
  const { body, properties } = message;
  const { deliveryMode, userId: _, ...rest } = properties;
  await producer.publish(body, {
    ...call,
    ...rest,
    contentType: rest.contentType ?? "application/data",
    exchange: "",
    routingKey: queue,
    persistent: deliveryMode !== "transient",
    headers: withoutDeaths(message),
  });
}

/** Other queues that a publisher named: they have had it. */
const COPIES: ReadonlySet<string> = new Set(["CC", "BCC"]);

/** Without what tells of its deaths; an exchange of dead letters may have put it into other queues, too. */
function withoutDeaths(
  { headers, deliveryInfo }: Message<unknown>,
): FieldTable {
  const isShared = deliveryInfo.exchange !== "" ||
    deathsOf(headers).some(({ exchange }) => exchange !== "");
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) =>
      !OF_A_DEATH.test(name) && !COPIES.has(name) &&
      !DELIVERY_COUNTS.has(name) &&
      !(isShared && name === ALONE)
    ),
  );
}
