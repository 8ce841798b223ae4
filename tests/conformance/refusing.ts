import assert from "node:assert/strict";
import { UnsupportedError } from "../../mod.ts";
import type {
  Capability,
  Channel,
  FieldTable,
  FieldValue,
  MessageProperties,
} from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import {
  arrives,
  bindingOf,
  publishing,
  rejectsWith,
  soon,
  textOf,
  unique,
} from "./support.ts";

/** 256 bytes in 128 units. */
const LONG = "é".repeat(128);

function nested(depth: number): FieldValue {
  let value: FieldValue = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** Values that have no form in AMQP's tables. */
const UNFIT: readonly (readonly [string, FieldTable])[] = [
  ["NaN", { n: NaN }],
  ["Infinity", { n: Infinity }],
  ["-Infinity", { n: -Infinity }],
  ["a NaN in a list", { n: [1, [NaN]] }],
  ["a NaN in a table", { n: { a: { b: NaN } } }],
  ["an integer of 65 bits", { n: 2n ** 63n }],
  ["an invalid date", { n: new Date(NaN) }],
  ["a date before 1970", { n: new Date(-1000) }],
  ["half a surrogate pair", { n: "half\ud800" }],
  ["half a surrogate pair in a list", { n: [1, ["\udc00half"]] }],
  ["half a surrogate pair in a table", { n: { a: { b: "half\ud800" } } }],
  ["half a surrogate pair in a name", { "half\ud800": 1 }],
  ["a long name", { [LONG]: 1 }],
  ["a long name in a table", { n: { [LONG]: 1 } }],
  ["a thousand lists in each other", { n: nested(1000) }],
];

/** Properties that no message of AMQP can have. */
const PROPERTIES: readonly MessageProperties[] = [
  { contentType: LONG },
  { contentEncoding: LONG },
  { correlationId: LONG },
  { replyTo: LONG },
  { messageId: LONG },
  { type: LONG },
  { userId: LONG },
  { appId: LONG },
  { messageId: "half\ud800" },
  { priority: 256 },
  { priority: 0.5 },
  { expiration: Infinity },
  { expiration: NaN },
  { expiration: -1 },
  { expiration: 2 ** 53 },
  { timestamp: new Date(NaN) },
  { timestamp: new Date(-1000) },
];

/** The capabilities that properties need. */
const NEEDED: Readonly<Record<string, Capability>> = {
  priority: "priority",
  expiration: "message-ttl",
};

/** Each verb with a name. */
const VERBS: readonly (readonly [
  string,
  (channel: Channel, name: string) => Promise<unknown>,
])[] = [
  [
    "declareExchange",
    (channel, name) => channel.declareExchange(exchangeOf(name), soon()),
  ],
  ["checkExchange", (channel, name) => channel.checkExchange(name, soon())],
  ["deleteExchange", (channel, name) => channel.deleteExchange(name, soon())],
  [
    "declareQueue",
    (channel, name) => channel.declareQueue(queueOf(name), soon()),
  ],
  ["checkQueue", (channel, name) => channel.checkQueue(name, soon())],
  ["deleteQueue", (channel, name) => channel.deleteQueue(name, soon())],
  ["purgeQueue", (channel, name) => channel.purgeQueue(name, soon())],
  [
    "bind",
    (channel, name) =>
      channel.bind(bindingOf("queue", name, "amq.direct", "k"), soon()),
  ],
  [
    "unbind",
    (channel, name) =>
      channel.unbind(bindingOf("queue", "q", name, "k"), soon()),
  ],
  [
    "publish",
    (channel, name) => channel.publish(publishing(name, "k", "x"), soon()),
  ],
  [
    "publish by key",
    (channel, name) => channel.publish(publishing("", name, "x"), soon()),
  ],
  ["get", (channel, name) => channel.get(name, soon())],
  [
    "consume",
    (channel, name) =>
      channel.consume(name, () => {}, { prefetch: 1, ...soon() }),
  ],
];

/** A mistake of the caller's is refused before it is sent, and harms nobody else. */
export const REFUSING: readonly ConformanceCase[] = [
  onBroker(
    "headers that have no form in AMQP are refused, and others on the channel unharmed",
    (broker) =>
      unharmed(broker, async (channel, queue) => {
        for (const [what, headers] of UNFIT) {
          await rejectsWith(
            channel.publish(
              publishing("", queue, "unfit", { properties: { headers } }),
              soon(),
            ),
            "encode-failed",
          ).catch((error) => assert.fail(`${what}: ${error}`));
        }
      }),
  ),
  onBroker(
    "arguments that have no form in AMQP are refused, of every verb",
    (broker) =>
      unharmed(broker, async (channel, queue) => {
        const exchange = await broker.exchange("direct");
        for (const [what, table] of UNFIT) {
          const name = unique("unfit");
          const calls = [
            channel.declareExchange(
              { ...exchangeOf(name), arguments: table },
              soon(),
            ),
            channel.declareQueue(
              { ...queueOf(name), arguments: table },
              soon(),
            ),
            channel.bind(
              bindingOf("queue", queue, exchange, "k", table),
              soon(),
            ),
            channel.unbind(
              bindingOf("queue", queue, exchange, "k", table),
              soon(),
            ),
            channel.consume(queue, () => {}, {
              prefetch: 1,
              arguments: table,
              ...soon(),
            }),
          ];
          await Promise.allSettled(calls); // not all of them at once
          for (const call of calls) {
            await rejectsWith(call, "encode-failed")
              .catch((error) => assert.fail(`${what}: ${error}`));
          }
        }
      }),
  ),
  onBroker(
    "properties that no message of AMQP can have are refused",
    (broker) =>
      unharmed(broker, async (channel, queue) => {
        for (const properties of PROPERTIES) {
          const error = await refusal(
            channel.publish(
              publishing("", queue, "unfit", { properties }),
              soon(),
            ),
          );
          const [name = ""] = Object.keys(properties);
          const needed = NEEDED[name];
          const isLacking = needed !== undefined &&
            !broker.connection.capabilities.has(needed) &&
            error instanceof UnsupportedError;
          assert.ok(isMistake(error) || isLacking, `${name}: ${error}`);
        }
      }),
  ),
  onBroker(
    "names of more than 255 bytes, and with half a surrogate pair, are refused by every verb",
    (broker) =>
      unharmed(broker, async (channel, queue) => {
        for (const name of [LONG, "half\ud800", "\udc00half"]) {
          for (const [verb, call] of VERBS) {
            const error = await refusal(call(channel, name));
            assert.ok(isMistake(error), `${verb}: ${error}`);
          }
          const tagged = channel.consume(queue, () => {}, {
            prefetch: 1,
            consumerTag: name,
            ...soon(),
          });
          assert.ok(isMistake(await refusal(tagged)));
        }
      }),
  ),
  onBroker(
    "a consumer tag that is in use on the channel is refused, and is free again after its consumer",
    (broker) =>
      unharmed(broker, async (channel, queue) => {
        const consume = () =>
          channel.consume(queue, () => {}, {
            prefetch: 1,
            consumerTag: "worker",
            ...soon(),
          });
        const first = await consume();
        await rejectsWith(consume(), "access-refused", "worker");
        await first[Symbol.asyncDispose]();
        await (await consume())[Symbol.asyncDispose]();
      }),
  ),
];

/** Runs something on a channel, after which that has to be as good as before. */
async function unharmed(
  broker: Broker,
  run: (channel: Channel, queue: string) => Promise<void>,
): Promise<void> {
  const queue = await broker.queue();
  const { channel } = broker;
  await run(channel, queue);
  await channel.publish(publishing("", queue, "fit"), soon());
  assert.equal(textOf(await broker.getSoon(queue)), "fit");
  assert.equal((await channel.checkQueue(queue, soon())).name, queue);
}

async function refusal(call: Promise<unknown>): Promise<unknown> {
  try {
    await arrives(call, "a refusal");
  } catch (error) {
    return error;
  }
  return undefined;
}

function isMistake(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError;
}

function exchangeOf(name: string) {
  return {
    name,
    type: "direct",
    durable: false,
    autoDelete: false,
    internal: false,
    arguments: {},
  } as const;
}

function queueOf(name: string) {
  return {
    name,
    durable: false,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
}
