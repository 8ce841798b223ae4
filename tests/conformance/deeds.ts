import assert from "node:assert/strict";
import type { Message } from "../../mod.ts";
import type {
  Capability,
  Channel,
  Delivery,
  TransportConnection,
} from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";
import type { Harness } from "./harness.ts";
import { open } from "./stage.ts";
import { bindingOf, Collector, soon, textOf } from "./support.ts";

/** Names of what a deed is about. */
export interface Place {
  /** Dead-letters into `dead`, where the broker can; bound to `exchange` by `work` and `both`. */
  readonly queue: string;
  /** Bound to `exchange` by `dead` and `both`. */
  readonly dead: string;
  readonly exchange: string;
  /** Of a queue or an exchange that is not there. */
  readonly unused: string;
}

/** The process that dies. */
export interface Actor {
  readonly harness: Harness;
  readonly connection: TransportConnection;
  readonly channel: Channel;
  readonly place: Place;
}

/** Something that is awaited right before a process is killed. */
export interface Deed {
  readonly name: string;
  readonly needs?: readonly Capability[];
  /** Whether it is tried where there is little time. */
  readonly first?: boolean;
  /** The messages that are in the queue before. */
  readonly before?: readonly string[];
  /** Resolves with the verb that is to hold. */
  act(actor: Actor): Promise<unknown>;
  /** Rejects if it does not hold, seen by another process. */
  check(broker: Broker, place: Place): Promise<void>;
}

/** How long messages are delayed, ms: a whole second, for some brokers count in those. */
export const DELAY: number = 1000;

/**
 * Declares what a deed is about: by each process, for some brokers tell nobody.
 *
 * @param channel Declares it.
 * @param place Its names.
 * @param capabilities The broker's capabilities.
 */
export async function declarePlace(
  channel: Channel,
  { queue, dead, exchange }: Place,
  capabilities: ReadonlySet<Capability>,
): Promise<void> {
  const durable = { durable: true, exclusive: false, autoDelete: false };
  await channel.declareExchange({
    name: exchange,
    type: "direct",
    durable: true,
    autoDelete: false,
    internal: false,
    arguments: {},
  }, soon());
  await channel.declareQueue(
    { ...durable, name: dead, arguments: {} },
    soon(),
  );
  await channel.declareQueue({
    ...durable,
    name: queue,
    arguments: capabilities.has("dead-letter")
      ? {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": "dead",
      }
      : {},
  }, soon());
  for (
    const [name, key] of [
      [queue, "work"],
      [queue, "both"],
      [dead, "dead"],
      [dead, "both"],
    ] as const
  ) await channel.bind(bindingOf("queue", name, exchange, key), soon());
}

/** Takes so many messages. */
export async function take(
  { channel, place }: Actor,
  count: number,
): Promise<readonly Delivery[]> {
  const collector = new Collector();
  await channel.consume(
    place.queue,
    collector.deliver,
    { prefetch: count, ...soon() },
  );
  return await collector.take(count);
}

/** Takes so many messages by the public API. */
export async function takeMessages(
  { harness, place }: Actor,
  count: number,
): Promise<readonly Message<string>[]> {
  const consumer = open(harness).consumer<string>(place.queue, {
    prefetch: count,
  });
  const messages: Message<string>[] = [];
  const iterator = consumer[Symbol.asyncIterator]();
  while (messages.length < count) {
    const { value } = await iterator.next();
    assert.ok(value !== undefined, "the consumer ended");
    messages.push(value);
  }
  return messages;
}

/** Expects these messages in a queue, each once, and nothing else. */
export async function lies(
  broker: Broker,
  queue: string,
  ...texts: readonly string[]
): Promise<readonly Delivery[]> {
  const collector = await broker.consume(queue);
  for (const _ of texts) {
    const { deliveryTag } = await collector.next();
    await broker.channel.ack(deliveryTag, soon());
  }
  await collector.subscription?.[Symbol.asyncDispose]();
  const seen = collector.all.map(textOf);
  assert.deepEqual(seen.toSorted(), texts.toSorted(), `in "${queue}"`);
  assert.equal(textOf(await broker.get(queue)), undefined, `in "${queue}"`);
  return collector.all;
}

/** Finds one among what was delivered. */
export function byText(
  deliveries: readonly Delivery[],
  text: string,
): Delivery {
  const found = deliveries.find((each) => textOf(each) === text);
  assert.ok(found !== undefined, `"${text}" was not delivered`);
  return found;
}

/** The messages of a queue for which three are enough. */
export const THREE: readonly string[] = ["one", "two", "kept"];
