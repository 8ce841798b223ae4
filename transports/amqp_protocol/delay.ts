import { UnsupportedError } from "../../model/errors.ts";
import type { Binding, BindingDestination } from "../../model/binding.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import { deathsOf } from "../../virtual/dead_letter.ts";

/*
 * Delay on RabbitMQ, which has none: a queue for each binary digit of the delay in
 * seconds, in which messages expire after so many. All of a queue's messages wait
 * equally long, so none holds up another.
 *
 * A message goes in at its highest digit. At each level the exchange sends it to the
 * queue where its digit is 1, and on to the next lower level where it is 0; where it
 * expires, the queue dead-letters it to the next lower level; below the lowest is the
 * exchange `dashi_delayed_delivery`, to which its target is bound. The digits and the
 * target stand in headers, for the routing key has to stay the message's own: by it
 * the target routes, and dead-letters. (In Kombu's scheme they stand in the key, which
 * topic patterns of users then match, and which forgets the exchange.)
 */

/** The prefix of the names of all exchanges, queues and headers for delays. */
export const PREFIX = "dashi_delayed_";
/** How many binary digits there are. */
export const LEVELS = 28;
/** The header of a message's destination: `exchange.<name>` or `queue.<name>`. */
const TO = `${PREFIX}to`;
/** Set where that is an exchange, which may have no queue for it then. */
export const TO_EXCHANGE: string = `${PREFIX}to_exchange`;
/** The exchange that it was published to, as its consumer is to see it. */
const FROM = `${PREFIX}from`;
/** Its expiration, which would let it expire while it waits. */
const EXPIRATION = `${PREFIX}expiration`;
/** Its deaths before: RabbitMQ 4 forgets those that a publisher names. */
const DEATHS = `${PREFIX}deaths`;

/** The exchange behind the last level. */
export const DELIVERY_EXCHANGE: string = `${PREFIX}delivery`;

/** The longest delay, seconds: eight years and a half. */
export const MAX_SECONDS: number = 2 ** LEVELS - 1;

/**
 * Makes the binding by which delayed messages reach their target.
 *
 * @param target The exchange or the queue.
 * @returns The binding.
 */
export function targetBinding(target: BindingDestination): Binding {
  return bindingOf(DELIVERY_EXCHANGE, target, { [TO]: textOf(target) });
}

/**
 * Makes the message to publish instead of a delayed one.
 *
 * @param message The message, with its delay.
 * @param target The destination of the message when it is due; bound by {@linkcode targetBinding}.
 * @returns The message to publish.
 * @throws {RangeError} If the delay is longer than the levels can hold.
 */
export function delayed(
  message: Publishing,
  target: BindingDestination,
): Publishing {
  const seconds = Math.ceil(message.delay / 1000);
  if (seconds > MAX_SECONDS) {
    throw new RangeError(
      `Cannot delay a message by ${message.delay} ms: ${MAX_SECONDS} seconds is the maximum`,
    );
  }
  const { expiration, ...properties } = message.properties;
  const deaths = deathsOf(properties.headers ?? {});
  const digits: Record<string, boolean> = {};
  let exchange = DELIVERY_EXCHANGE;
  for (let level = 0, rest = seconds; rest > 0; level++, rest >>= 1) {
    exchange = levelName(level);
    digits[exchange] = rest % 2 === 1;
  }
  return {
    ...message,
    exchange,
    mandatory: false,
    delay: 0,
    properties: {
      ...properties,
      headers: {
        ...withoutOurs(properties.headers ?? {}),
        ...digits,
        [TO]: textOf(target),
        ...(target.kind === "exchange" ? { [TO_EXCHANGE]: true } : {}),
        [FROM]: message.exchange,
        ...(expiration === undefined ? {} : { [EXPIRATION]: expiration }),
        ...(deaths.length === 0 ? {} : { [DEATHS]: deaths }),
      },
    },
  };
}

/**
 * Lists the queues that a message waits in behind its first.
 *
 * @param delay Its delay, ms.
 * @returns Their names, in the order in which it comes there.
 */
export function laterQueues(delay: number): readonly string[] {
  const names: string[] = [];
  for (
    let level = 0, rest = Math.ceil(delay / 1000);
    rest > 1;
    level++, rest >>= 1
  ) {
    if (rest % 2 === 1) names.unshift(levelName(level));
  }
  return names;
}

/**
 * Says why a message cannot be delayed as it is.
 *
 * @param message The message.
 * @returns The error, or `undefined` if all is well.
 */
export function refuseDelay(message: Publishing): UnsupportedError | undefined {
  const { exchange, mandatory, properties } = message;
  const { headers = {}, expiration } = properties;
  const why = exchange !== "" && mandatory
    ? "it is mandatory, and which queues take it is decided when its time has come; leave mandatory out"
    : expiration !== undefined
    ? "it has an expiration, and would expire while it waits; give the queue a messageTtl"
    : headers.BCC !== undefined || (exchange === "" && headers.CC !== undefined)
    ? "it is to go by more keys than its own; publish it once for each"
    : undefined;
  return why === undefined
    ? undefined
    : new UnsupportedError(`Cannot publish a message with a delay: ${why}`);
}

/**
 * Says whether an exchange is one of those that delayed messages come by: the one where
 * the last level dead-letters, which is not the last that they go through.
 *
 * @param name The exchange's name.
 * @returns Whether it is.
 */
export function isDelayExchange(name: unknown): boolean {
  return isOurs(name);
}

/** The fields of a delayed message as they were when it was published. */
export interface Restored {
  readonly exchange: string;
  readonly expiration: number | undefined;
  readonly headers: FieldTable;
}

/**
 * Reads what a delayed message was, from its headers: they are with it wherever it is
 * dead-lettered to, too.
 *
 * @param headers The headers as they were delivered.
 * @returns The message as it was; `undefined` if it was not delayed.
 */
export function restore(headers: FieldTable): Restored | undefined {
  const { [TO]: to, [FROM]: exchange, [EXPIRATION]: expiration } = headers;
  if (typeof to !== "string" || typeof exchange !== "string") return undefined;
  const told = deathsOf(headers).filter(({ queue }) => !isOurs(queue)).map(
    (death) => isDelayExchange(death.exchange) ? { ...death, exchange } : death,
  );
  const before = deathsOf(headers, DEATHS).filter((death) =>
    !told.some(({ queue, reason }) =>
      queue === death.queue && reason === death.reason
    )
  );
  return {
    exchange,
    expiration: typeof expiration === "number" ? expiration : undefined,
    headers: withDeaths(withoutOurs(headers), [...told, ...before]),
  };
}

function withDeaths(
  headers: FieldTable,
  deaths: readonly FieldTable[],
): FieldTable {
  const { "x-death": told, ...rest } = headers;
  if (told === undefined) return headers;
  return {
    ...withDeath(withDeath(rest, "first", deaths.at(-1)), "last", deaths[0]),
    ...(deaths.length === 0 ? {} : { "x-death": deaths }),
  };
}

/**
 * The broker tells the first death for good, and from 3.13 on the last: where that was
 * waiting, it is another that counts.
 */
function withDeath(
  headers: FieldTable,
  which: "first" | "last",
  death: FieldTable | undefined,
): FieldTable {
  const name = (what: string) => `x-${which}-death-${what}`;
  if (!isOurs(headers[name("queue")])) return headers;
  const others = Object.fromEntries(
    Object.entries(headers).filter(([each]) => !each.startsWith(name(""))),
  );
  if (death === undefined) return others;
  const { queue, reason, exchange } = death;
  return {
    ...others,
    [name("queue")]: queue,
    [name("reason")]: reason,
    [name("exchange")]: exchange,
  };
}

function withoutOurs(headers: FieldTable): FieldTable {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !isOurs(name)),
  );
}

function isOurs(name: unknown): boolean {
  return typeof name === "string" && name.startsWith(PREFIX);
}

/**
 * Names the exchange and the queue of a binary digit.
 *
 * @param level Which digit.
 * @returns The name of both.
 */
export function levelName(level: number): string {
  return `${PREFIX}${level}`;
}

function textOf({ kind, name }: BindingDestination): string {
  return `${kind}.${name}`;
}

/**
 * Makes a binding by headers, all of which a message must have.
 *
 * @param source The exchange.
 * @param destination The destination of the binding.
 * @param headers The headers.
 * @returns The binding.
 */
export function bindingOf(
  source: string,
  destination: BindingDestination,
  headers: FieldTable,
): Binding {
  return {
    source,
    destination,
    routingKey: "",
    arguments: { ...headers, "x-match": "all" },
  };
}
