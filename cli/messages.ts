import type { Message, PeekedMessage } from "../mod.ts";
import { lineOf } from "./advice.ts";
import type { Context } from "./context.ts";
import { type Column, jsonOf } from "./output.ts";
import type { Terminal } from "./terminal.ts";

/** How to take messages. */
export interface GetOptions {
  readonly count: number;
  /** Whether they go back. */
  readonly keep?: boolean | undefined;
}

/** A payload of more levels is shown as bytes: `JSON.stringify` throws where the stack ends. */
const MOST_LEVELS = 1000;

/** The columns of messages. */
export const MESSAGES: readonly Column<Message<unknown>>[] = [
  { head: "ID", text: ({ properties }) => properties.messageId },
  { head: "KEY", text: ({ deliveryInfo }) => deliveryInfo.routingKey },
  {
    head: "AGAIN",
    text: ({ deliveryInfo: { redelivered } }) => redelivered ? "yes" : "no",
  },
  { head: "PAYLOAD", text: payloadText },
];

/** The content types of bodies that a middleware has wrapped. */
const WRAPPED = "application/vnd.dashi.";

/**
 * Shows a payload in one line.
 *
 * @param message Its message.
 * @returns JSON; or why it cannot be read.
 */
export function payloadText(message: Message<unknown>): string {
  const { payload, error } = payloadOf(message);
  if (error !== undefined) return `(${error})`;
  return typeof payload === "string" ? payload : jsonOf(payload);
}

/**
 * Makes what is written of a message as JSON.
 *
 * @param message The message.
 * @returns It, with its payload, or with its body in base64 where that cannot be read.
 */
export function recordOf(message: Message<unknown>): object {
  const { deliveryInfo, properties, deliveryCount } = message;
  const { headers, messageId, timestamp, ...rest } = properties;
  const { payload, error } = payloadOf(message);
  return {
    id: messageId,
    queue: deliveryInfo.queue,
    exchange: deliveryInfo.exchange,
    routingKey: deliveryInfo.routingKey,
    redelivered: deliveryInfo.redelivered,
    deliveryCount,
    ...(isPeeked(message) ? { taken: message.taken } : {}),
    timestamp,
    properties: rest,
    headers: headers ?? {},
    ...(error === undefined ? { payload } : { error, body: message.body }),
  };
}

function payloadOf(
  message: Message<unknown>,
): { readonly payload?: unknown; readonly error?: string } {
  try {
    const { payload } = message;
    return isDeeper(payload, MOST_LEVELS)
      ? { error: `its payload has more than ${MOST_LEVELS} levels` }
      : { payload };
  } catch (error) {
    const isWrapped = message.properties.contentType?.startsWith(WRAPPED);
    const how = isWrapped ? ", here by --module FILE" : "";
    return { error: `${lineOf(error)}${how}` };
  }
}

/** Whether it has values within values for more levels. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (value instanceof Uint8Array) return false;
  return levels === 0 ||
    Object.values(value).some((each) => isDeeper(each, levels - 1));
}

function isPeeked(
  message: Message<unknown>,
): message is PeekedMessage<unknown> {
  return "taken" in message;
}

/**
 * Says that a queue has nothing to show: an empty table would leave that open.
 *
 * @param terminal The terminal.
 * @param queue The queue.
 */
export function tellEmpty(terminal: Terminal, queue: string): void {
  terminal.tell(`dashi: queue "${queue}" has no message that is ready`);
}

/**
 * Shows messages that stay in their queue.
 *
 * @param context The context.
 * @param name The queue.
 * @param count The maximum number.
 * @returns 0.
 */
export async function peek(
  { output, terminal, connection }: Context,
  name: string,
  count: number,
): Promise<number> {
  const found = await connection.queue(name).peek({ max: count });
  await output.print(found, MESSAGES, recordOf);
  if (found.length === 0) tellEmpty(terminal, name);
  return 0;
}

/**
 * Takes messages: each is acked when it is written, or goes back.
 *
 * @param context The context.
 * @param name The queue.
 * @param options How many, and whether they go back.
 * @returns 0.
 */
export async function get(
  { output, terminal, connection }: Context,
  name: string,
  { count, keep = false }: GetOptions,
): Promise<number> {
  await using queue = connection.queue(name);
  const taken: Message<unknown>[] = [];
  async function* messages() {
    while (taken.length < count) {
      const message = await queue.get();
      if (message === undefined) return;
      taken.push(message);
      yield message;
      // It is asked for the next when this one is written. A table is written at the end.
      if (!keep && !output.isTable) await message.ack();
    }
  }
  await output.print(messages(), MESSAGES, recordOf);
  if (taken.length === 0) tellEmpty(terminal, name);
  for (const message of taken.toReversed()) {
    if (keep) await message.requeue();
    else if (!message.settled) await message.ack();
  }
  return 0;
}
