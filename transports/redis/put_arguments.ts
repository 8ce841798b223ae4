/** The arguments of the scripts that put messages, and announce them by PUB/SUB. */

import { encodeHex } from "../../codec/digest.ts";
import type { Publishing } from "../../model/message.ts";
import type { QueueTraits } from "../../virtual/queue_arguments.ts";
import type { Batch } from "./batch.ts";
import type { Layout } from "./layout.ts";
import type { Predecessors } from "./listening/predecessors.ts";

/**
 * Works out on which channels a message is published.
 *
 * @returns The channels, each with a line feed and a header behind it where it needs one.
 */
export function channelsOf(
  layout: Layout,
  exchanges: readonly string[],
  message: Publishing | undefined,
  predecessors: Predecessors,
): readonly string[] {
  // Kombu has no consumers in a cluster.
  if (layout.options.sharded) return [];
  return exchanges.map((exchange) => {
    const channel = layout.channel(exchange, message?.routingKey ?? "");
    const header = predecessors.headerFor(exchange);
    return header === "" ? channel : `${channel}\n${header}`;
  });
}

/** Notes that the copy which came last into a list is published, too. */
export function announceLast(
  { announced, lists }: Batch,
  channels: readonly string[],
  list = "",
): void {
  const place = (lists.get(list)?.length ?? 0) - 1;
  for (const channel of channels) announced.push({ channel, list, place });
}

/**
 * Tells the script for many messages which of them it publishes.
 *
 * @returns How many, and of each its list's place, its own, and the channel.
 */
export function announcedArguments(
  { announced, lists }: Batch,
): readonly (string | number)[] {
  if (announced.length === 0) return NONE;
  const order = new Map([...lists.keys()].map((list, place) => [list, place]));
  return [
    announced.length,
    ...announced.flatMap(({ channel, list, place }) => [
      order.get(list) ?? -1,
      place,
      channel,
    ]),
  ];
}

const NONE = [0];

/**
 * Makes the name of a delayed message, which says on which channels it is published when
 * it is due.
 *
 * @returns Both, the channels as hexadecimal digits.
 */
export function dueName(id: string, channels: readonly string[]): string {
  const names = channels.map((each) =>
    encodeHex(new TextEncoder().encode(each))
  );
  return [id, ...names].join("@");
}

/** An envelope ends with its name, a UUID. */
export const END = `"}}`;
export const TAIL: number = `00000000-0000-4000-8000-000000000001${END}`.length;

/**
 * Returns a queue's limits as arguments of the script for one message.
 *
 * @returns `x-max-length`, `x-max-length-bytes`, whether it refuses; `""` is none.
 */
export function limitsOf(
  { maxLength, maxBytes, refuses }: QueueTraits,
): readonly (string | number)[] {
  return [maxLength ?? "", maxBytes ?? "", refuses ? 1 : 0];
}
