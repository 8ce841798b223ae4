import type { Clock } from "../../async/clock.ts";
import type { CodecRegistry } from "../../codec/mod.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import type { Publishing } from "../../model/message.ts";
import { exchangeName } from "../entities/exchange.ts";
import { encode } from "../publish/encoding.ts";
import { propertiesOf } from "../publish/publishing.ts";
import type { RequestOptions } from "./request_options.ts";
import { DEADLINE } from "./wire.ts";

/** What a request is made with, beside its options. */
export interface RequestSettings {
  readonly codecs: CodecRegistry;
  readonly clock: Clock;
  /** When nobody waits for the answer any more, on the clock. */
  readonly deadline: number;
}

/**
 * Makes the message of a request, but for where its answer goes, and how long it may wait.
 *
 * @param id Its correlation id.
 * @param payload Its payload.
 * @param options Where to, and how.
 * @param settings The codecs, and the time.
 * @returns The message.
 * @throws {TypeError} If it has no address.
 * @throws {EncodeError} If the payload cannot be written.
 */
export async function requestMessage(
  id: string,
  payload: unknown,
  options: RequestOptions,
  { codecs, clock, deadline }: RequestSettings,
): Promise<Publishing> {
  const exchange = exchangeName(options.exchange ?? "");
  const { routingKey = "" } = options;
  if (exchange === "" && routingKey === "") {
    throw new TypeError(
      `Cannot request without an address: give "routingKey", which is the queue's name, or name an "exchange"`,
    );
  }
  const encoded = await encode(codecs, payload, options);
  const left = deadline - clock.now();
  const headers = left === Infinity ? options.headers : {
    ...options.headers,
    [DEADLINE]: Math.ceil(clock.wall() + Math.min(left, MAX_WAIT)),
  };
  const properties = propertiesOf(
    { ...options, headers, persistent: options.persistent ?? false },
    undefined,
    encoded,
  );
  return {
    exchange,
    routingKey,
    mandatory: exchange !== "", // to a queue: where the broker knows its queues
    delay: 0,
    properties: { ...properties, correlationId: id },
    body: encoded.body,
    keyed: options.key !== undefined,
  };
}
