/** The Redis transport without the library above it. */

import { SYSTEM_CLOCK } from "../../async/clock.ts";
import type { Binding } from "../../model/binding.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { createTransport } from "../../transports/redis/mod.ts";
import type {
  ConsumeOptions,
  TransportConnection,
} from "../../transports/transport.ts";
import { fillDefaults, parseUrl } from "../../url/mod.ts";

/** Connects, as a session of its own, or of the owner that is named. */
export function openTransport(
  url: string,
  transportOptions: Readonly<Record<string, unknown>> = {},
  operationTimeout = 20_000,
  owner: string = crypto.randomUUID(),
): Promise<TransportConnection> {
  const transport = createTransport();
  return transport.connect(
    fillDefaults(parseUrl(url), transport.defaults ?? {}),
    {
      transportOptions,
      heartbeat: 0,
      operationTimeout,
      owner,
      clock: SYSTEM_CLOCK,
    },
  );
}

/** A queue that is declared with these arguments. */
export function queueOf(
  name: string,
  declared: Readonly<Record<string, string | number>> = {},
): QueueDeclaration {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: declared,
  };
}

/** An exchange of a type. */
export function exchangeOf(
  name: string,
  type: ExchangeDeclaration["type"] = "direct",
): ExchangeDeclaration {
  return {
    name,
    type,
    durable: true,
    autoDelete: false,
    internal: false,
    arguments: {},
  };
}

/** A binding of a queue. */
export function bindingOf(
  source: string,
  queue: string,
  routingKey: string,
): Binding {
  return {
    source,
    destination: { kind: "queue", name: queue },
    routingKey,
    arguments: {},
  };
}

/** A message for an exchange and a key. */
export function messageTo(
  exchange: string,
  routingKey: string,
  properties: MessageProperties = {},
  delay = 0,
): Publishing {
  return {
    exchange,
    routingKey,
    mandatory: false,
    delay,
    properties,
    body: new TextEncoder().encode("hello"),
  };
}

/** The options of a consumer. */
export const CONSUME: ConsumeOptions = { prefetch: 10 };
