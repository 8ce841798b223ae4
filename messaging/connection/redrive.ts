import { UnroutableError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { deathsOf } from "../consume/deaths.ts";
import { ALONE } from "../middleware/wrapping.ts";
import type { Queue } from "../entities/queue.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { Message } from "../consume/message.ts";
import { checkCount, type OperationOptions } from "../operation_options.ts";
import type { Producer } from "../publish/producer.ts";
import type { QueueHandle } from "./queue_handle.ts";
import type { Session } from "./session.ts";
import { queueNameIn } from "./tables.ts";

/** Options of `connection.redrive`. */
export interface RedriveOptions extends OperationOptions {
  /** The queue to put them into. @default {the one that each came from, by its `x-death`} */
  readonly to?: Queue | string | undefined;
  /** The maximum number of messages to take. @default {as many as there are when it begins} */
  readonly limit?: number | undefined;
}

const REDRIVE: KnownOptions = optionsOf<RedriveOptions>("connection.redrive", {
  to: true,
  limit: true,
  signal: true,
  timeout: true,
});

/** The result of redriving dead letters. */
export interface Redriven {
  /** How many are where they came from. */
  readonly moved: number;
  /** How many say of no queue that they came from it, and stay. */
  readonly kept: number;
}

/** Headers that tell of an earlier life, but for the attempts, which a publish drops itself. */
const OF_A_DEATH = /^x-(?:death$|(?:first|last)-death-|error-)/;

/**
 * Puts dead letters back to where they came from, one by one: each is published, and only
 * then acked. They begin anew, without the headers that tell of their deaths and attempts.
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
  const { to: target, limit, ...call } = options;
  const to = target === undefined
    ? undefined
    : queueNameIn(session, target, "redrive");
  if (limit !== undefined) checkCount("limit", limit, Number.MAX_SAFE_INTEGER);
  const most = Math.min(
    limit ?? Infinity,
    (await from.status(call)).messageCount,
  );
  const kept: Message<unknown>[] = [];
  let moved = 0;
  try {
    while (moved + kept.length < most) {
      const message = await from.get(call);
      if (message === undefined) break;
      const queue = to ?? originOf(message);
      if (queue === undefined) {
        kept.push(message);
        continue;
      }
      try {
        await putInto(queue, message, producer, call);
      } catch (error) {
        kept.push(message);
        // Its queue is gone: those of others may go on.
        if (error instanceof UnroutableError && to === undefined) continue;
        throw error;
      }
      await message.ack(call);
      moved++;
    }
  } finally {
    for (const each of kept) await each.requeue().catch(() => {});
  }
  return { moved, kept: kept.length };
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

/** Without what tells of its deaths; an exchange of dead letters may have put it into other queues, too. */
function withoutDeaths(
  { headers, deliveryInfo }: Message<unknown>,
): FieldTable {
  const isShared = deliveryInfo.exchange !== "" ||
    deathsOf(headers).some(({ exchange }) => exchange !== "");
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) =>
      !OF_A_DEATH.test(name) && !(isShared && name === ALONE)
    ),
  );
}
