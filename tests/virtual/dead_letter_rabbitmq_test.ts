import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { type Channel, connect, type ConsumeMessage } from "amqplib";
import {
  deadLetter,
  type DeadLetterReason,
  type FieldTable,
  type Publishing,
  type QueueDeclaration,
} from "../../virtual/mod.ts";

const url = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";

interface Case {
  readonly why: DeadLetterReason;
  /** Of the queue that the message leaves, beside where it goes. */
  readonly arguments: FieldTable;
  /** Whether the queue has a dead-letter routing key, or the message's own is used. */
  readonly key: boolean;
  readonly expiration?: number;
  readonly headers: FieldTable;
  /** How often it goes round. */
  readonly times: number;
}

const CASES: readonly Case[] = [
  { why: "rejected", arguments: {}, key: false, headers: {}, times: 1 },
  {
    why: "rejected",
    arguments: {},
    key: false,
    expiration: 60_000,
    headers: { CC: ["no.such"], kept: 1 },
    times: 1,
  },
  {
    why: "rejected",
    arguments: {},
    key: true,
    headers: { CC: ["no.such"], "x-first-death-queue": "another" },
    times: 3,
  },
  {
    why: "expired",
    arguments: {},
    key: true,
    expiration: 1,
    headers: {},
    times: 1,
  },
  {
    why: "expired",
    arguments: { "x-message-ttl": 1 },
    key: false,
    headers: {},
    times: 1,
  },
  {
    why: "maxlen",
    arguments: { "x-max-length": 0 },
    key: true,
    headers: {},
    times: 1,
  },
];

/** Takes one message that is there or comes, in ten seconds. */
async function take(channel: Channel, queue: string): Promise<ConsumeMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<ConsumeMessage>();
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message !== null) resolve(message);
  });
  const late = AbortSignal.timeout(10_000);
  late.addEventListener("abort", () => reject(late.reason));
  const message = await promise;
  await channel.cancel(consumerTag);
  return message;
}

/** The headers without the times, which nobody foresees, and what newer brokers say beside. */
function timeless(headers: FieldTable | undefined): FieldTable {
  const deaths = headers?.["x-death"];
  assert(Array.isArray(deaths));
  return {
    ...Object.fromEntries(
      Object.entries(headers ?? {})
        .filter(([name]) => !name.startsWith("x-last-death-")),
    ),
    "x-death": deaths.map(({ time, ...rest }) => {
      assert(time !== undefined);
      return rest;
    }),
  };
}

for (const each of CASES) {
  const { why, key, times } = each;
  const name = `deadLetter() of ${
    Deno.inspect(each, { breakLength: Infinity })
  } has RabbitMQ's headers${url === undefined ? ` (${reason})` : ""}`;
  Deno.test({
    name,
    ignore: url === undefined,
    fn: async () => {
      const connection = await connect(url ?? "");
      try {
        const channel = await connection.createConfirmChannel();
        const [from, to] = [crypto.randomUUID(), crypto.randomUUID()];
        const exchange = crypto.randomUUID();
        await channel.assertExchange(exchange, "fanout", {
          durable: false,
          autoDelete: true,
        });
        const queueOf = (
          queue: string,
          arguments_: FieldTable,
        ): QueueDeclaration => ({
          name: queue,
          durable: false,
          exclusive: true,
          autoDelete: false,
          arguments: arguments_,
        });
        const leaves = queueOf(from, {
          ...each.arguments,
          "x-dead-letter-exchange": exchange,
          ...(key ? { "x-dead-letter-routing-key": "dead" } : {}),
        });
        const back = queueOf(to, {
          "x-dead-letter-exchange": "",
          "x-dead-letter-routing-key": from,
        });
        for (const queue of [leaves, back]) {
          await channel.assertQueue(queue.name, {
            durable: queue.durable,
            exclusive: queue.exclusive,
            arguments: queue.arguments,
          });
        }
        await channel.bindQueue(to, exchange, "");

        let expected: Publishing | undefined = {
          exchange: "",
          routingKey: from,
          mandatory: false,
          delay: 0,
          properties: { headers: each.headers, expiration: each.expiration },
          body: new Uint8Array(),
        };
        channel.sendToQueue(from, Buffer.alloc(0), {
          headers: each.headers,
          ...(each.expiration === undefined
            ? {}
            : { expiration: each.expiration }),
        });
        await channel.waitForConfirms();
        let found: ConsumeMessage | undefined;
        for (let round = 0; round < times; round++) {
          if (found !== undefined) {
            channel.nack(found, false, false);
            expected = expected && deadLetter(back, expected, "rejected", 0);
          }
          if (why === "rejected") {
            channel.nack(await take(channel, from), false, false);
          }
          expected = expected && deadLetter(leaves, expected, why, 0);
          found = await take(channel, to);
        }
        const { CC, ...told } = timeless(found?.properties.headers);
        // RabbitMQ 4 lets the header stand, though it no longer routes by it.
        const { version } = connection.connection.serverProperties;
        const isIdle = key && Number.parseInt(version) >= 4;
        assertEquals(
          timeless(expected?.properties.headers),
          CC === undefined || isIdle ? told : { ...told, CC },
        );
        assertEquals(found?.properties.expiration, undefined);
        assertEquals(expected?.properties.expiration, undefined);
        assertEquals(found?.fields.routingKey, expected?.routingKey);
        assertEquals(found?.fields.exchange, expected?.exchange);
      } finally {
        await connection.close();
      }
    },
  });
}
