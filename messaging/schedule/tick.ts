import { decodeBase64 } from "../../codec/base64.ts";
import type { Publishing } from "../../model/message.ts";
import { KEY_HEADER } from "../../virtual/mod.ts";
import type { Definition } from "./state.ts";

/** The header with the schedule's name. */
export const SCHEDULE_HEADER = "x-schedule";

/** The header with the tick, as `Date.toISOString` writes it. */
export const TICK_HEADER = "x-scheduled-at";

/**
 * Makes the message of a tick. Every process makes the same one.
 *
 * @param name The schedule's name.
 * @param definition The message that is published.
 * @param tick The tick, ms since 1970.
 * @param knowsQueues Whether the broker tells that a queue is not there.
 * @returns The message.
 */
export function tickMessage(
  name: string,
  { exchange, routingKey, mandatory, properties, body }: Definition,
  tick: number,
  knowsQueues: boolean,
): Publishing {
  const at = new Date(tick);
  return {
    exchange,
    routingKey,
    mandatory: mandatory ?? (exchange === "" && knowsQueues),
    delay: 0,
    properties: {
      ...properties,
      messageId: `${name}@${at.toISOString()}`,
      timestamp: at,
      headers: {
        ...properties.headers,
        [SCHEDULE_HEADER]: name,
        [TICK_HEADER]: at.toISOString(),
      },
    },
    body: decodeBase64(body),
    ownsProperties: true,
    keyed: properties.headers?.[KEY_HEADER] !== undefined,
  };
}
