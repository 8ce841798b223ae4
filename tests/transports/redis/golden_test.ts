/** Messages that Kombu left in a Redis are read, and ours are stored in the same way: on a real server, against captured data. */

import { assert, assertEquals } from "@std/assert";
import { Exchange, type PublishOptions, Queue } from "@dashi/mq";
import { formatPattern } from "../../../virtual/topic.ts";
import golden from "../../golden/redis_kombu_main.json" with { type: "json" };
import traps from "../../golden/redis_traps_kombu_main.json" with {
  type: "json",
};
import { take } from "../../conformance/stage.ts";
import { onRedis } from "../../support/redis_place.ts";

/** Envelopes as what they say, without their names; patterns as 5.7 writes them. */
function comparable(keys: object): unknown {
  return Object.fromEntries(
    Object.entries(keys).map(([name, { type, value }]) => {
      if (type === "list") return [name, value.map(envelopeOf)];
      if (type === "set") {
        return [
          name,
          value.map((each: string) => each.replaceAll(".*?[^\\.]", "[^\\.]+"))
            .sort(),
        ];
      }
      return [name, Object.values(value).map((each) => JSON.parse(`${each}`))];
    }),
  );
}

function envelopeOf(text: string): unknown {
  const envelope = JSON.parse(text);
  const { properties } = envelope;
  // Random; and what we add by ourselves, or have no property for.
  for (
    const name of ["delivery_tag", "message_id", "cluster_id", "custom_prop"]
  ) delete properties[name];
  const { body, headers } = envelope;
  // Python and we put spaces elsewhere, and compress to other bytes; that each reads the
  // other's YAML is the codec's tests' matter.
  if (envelope["content-type"] === "application/json" && !headers.compression) {
    envelope.body = JSON.parse(atob(body));
  } else if (
    headers.compression || envelope["content-type"] === "application/x-yaml"
  ) delete envelope.body;
  return envelope;
}

const caseOf = (name: string) => {
  const found = golden.cases.find((each) => each.name === name);
  assert(found !== undefined, name);
  return found;
};

interface GoldenPublish {
  readonly body?: unknown;
  readonly body_base64?: string;
  readonly [option: string]: unknown;
}

function payloadOf({ body, body_base64: bytes }: GoldenPublish): unknown {
  return bytes === undefined
    ? body
    : Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0));
}

/** Kombu's names, and ours. */
const NAMES: Readonly<Record<string, keyof PublishOptions>> = {
  routing_key: "routingKey",
  serializer: "serializer",
  compression: "compression",
  content_type: "contentType",
  priority: "priority",
  headers: "headers",
  correlation_id: "correlationId",
  type: "type",
  user_id: "userId",
  app_id: "appId",
};

function optionsOf(given: GoldenPublish): PublishOptions {
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const ours = NAMES[name];
    if (ours !== undefined && value !== null) options[ours] = value;
  }
  const { expiration, timestamp, delivery_mode, reply_to } = given;
  if (typeof expiration === "number") options.expiration = expiration * 1000;
  if (typeof timestamp === "number") {
    options.timestamp = new Date(timestamp * 1000);
  }
  if (delivery_mode === "transient") options.persistent = false;
  if (typeof reply_to === "string") options.replyTo = reply_to;
  else if (reply_to !== undefined) options.replyTo = "rq";
  return { mandatory: false, ...options };
}

const PUBLISHES = [
  "publish_default_exchange",
  "publish_text",
  "publish_bytes",
  "publish_json_str",
  "publish_explicit_content_type",
  "publish_explicit_content_type_bytes",
  "publish_yaml",
  "publish_msgpack",
  "publish_compression_gzip",
  "publish_compression_zlib",
  "publish_all_properties",
  "publish_reply_to_queue_object",
] as const;

for (const name of PUBLISHES) {
  const { input, keys_after } = caseOf(name);
  onRedis(`${name} leaves what Kombu left`, async ({ connection, keys }) => {
    assert(input !== null && "publish" in input);
    const producer = connection.producer();
    for (const each of input.publish as readonly GoldenPublish[]) {
      await producer.publish(payloadOf(each), optionsOf(each));
    }
    assertEquals(comparable(await keys()), comparable(keys_after));
  });
}

const PRIORITIES = [
  ["priorities", [0, 3, 6, 9]],
  ["priorities_custom_steps", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
  ["priorities_steps_start_above_zero", [3, 6]],
] as const;

for (const [name, prioritySteps] of PRIORITIES) {
  const { input, keys_after } = caseOf(name);
  onRedis(`${name} leaves what Kombu left`, async ({ connection, keys }) => {
    assert(input !== null && "publish" in input);
    const producer = connection.producer();
    const given = input.publish as readonly GoldenPublish[];
    // We refuse what Kombu clamps.
    const isOurs = ({ priority }: GoldenPublish) =>
      priority === null ||
      (typeof priority === "number" && priority >= 0 && priority <= 9);
    for (const each of given.filter(isOurs)) {
      await producer.publish(payloadOf(each), optionsOf(each));
    }
    const isSame = (text: string) => {
      const { priority } = JSON.parse(text).properties;
      return isOurs({ priority });
    };
    const expected = Object.fromEntries(
      Object.entries(keys_after as object)
        .map(([key, { type, value }]) => [key, {
          type,
          value: value.filter(isSame),
        }]),
    );
    assertEquals(comparable(await keys()), comparable(expected));
  }, { prioritySteps });
}

onRedis(
  "declare_topic leaves what Kombu left",
  async ({ connection, keys }) => {
    const { patterns, keys_after } = caseOf("declare_topic");
    const exchange = new Exchange("ex", { type: "topic" });
    const queues = Object.keys(patterns ?? {}).map((routingKey, i) =>
      new Queue(`t${i}`, { exchange, routingKey })
    );
    await connection.declare(queues);
    assertEquals(comparable(await keys()), comparable(keys_after));
  },
);

onRedis(
  "declare_direct_two_queues leaves what Kombu left",
  async ({ connection, keys }) => {
    const { keys_after } = caseOf("declare_direct_two_queues");
    const exchange = new Exchange("ex");
    await connection.declare([
      new Queue("a", { exchange, routingKey: "k" }),
      new Queue("b", { exchange, routingKey: "k" }),
      new Queue("c", { exchange, routingKey: "other" }),
    ]);
    const producer = connection.producer({ exchange });
    const { publish } = caseOf("declare_direct_two_queues").input as {
      publish: readonly GoldenPublish[];
    };
    for (const each of publish) {
      await producer.publish(payloadOf(each), optionsOf(each));
    }
    assertEquals(comparable(await keys()), comparable(keys_after));
  },
);

onRedis("sep_option leaves what Kombu left", async ({ connection, keys }) => {
  const { keys_after } = caseOf("sep_option");
  const exchange = new Exchange("media");
  const video = new Queue("video", { exchange, routingKey: "rk" });
  const producer = connection.producer({ exchange, declare: [video] });
  await producer.publish("p", { routingKey: "rk", priority: 9 });
  assertEquals(comparable(await keys()), comparable(keys_after));
}, { separator: ":" });

onRedis(
  "an unacked message is stored as Kombu does, but names the queue alone, under a field of its own",
  async ({ connection, redis, prefix }) => {
    const producer = connection.producer();
    await producer.publish({ n: 1 }, {
      routingKey: "q1",
      priority: 4,
      headers: { h: 1 },
      mandatory: false,
    });
    const [message] = await take(connection.consumer("q1"), 1);
    assert(message !== undefined);
    const [[field, value] = ["", ""]] = Object.entries(
      await redis.hgetall(`${prefix}unacked`),
    );
    const [envelope, exchange, routingKey] = JSON.parse(value);
    assertEquals([exchange, routingKey], ["", "q1"]);
    const { keys_after } = caseOf("unacked");
    const [theirs] = Object.values(keys_after?.unacked?.value ?? {});
    assertEquals(
      envelopeOf(JSON.stringify(envelope)),
      envelopeOf(JSON.stringify(JSON.parse(`${theirs}`)[0])),
    );
    const [member, score] = await redis.zrange(
      `${prefix}unacked_index`,
      "0",
      "-1",
      "WITHSCORES",
    );
    assertEquals(member, field);
    assert(Math.abs(Number(score) - Date.now() / 1000) < 60);
    await message.ack();
    assertEquals(await redis.exists(`${prefix}unacked`), 0);
  },
);

// Messages of every kind that Kombu stored are delivered.
for (const { name, keys_after } of golden.cases) {
  for (const [key, { type, value }] of Object.entries(keys_after as object)) {
    // Other separators and steps than the usual are the options' own cases.
    // deno-lint-ignore no-control-regex -- the separator
    if (type !== "list" || !/^[^:\x06]*(\x06\x16[369])?$/.test(key)) continue;
    onRedis(
      `${name}: Kombu's messages in ${JSON.stringify(key)} are delivered`,
      async ({ connection, redis, prefix }) => {
        const queue = key.split("\x06\x16")[0] ?? "";
        await redis.rpush(prefix + key, ...value);
        const consumer = connection.consumer(queue, {
          accept: ["*/*"],
        });
        const expected = value.map((text: string) => JSON.parse(text))
          .reverse();
        for await (const message of consumer) {
          const envelope = expected.shift();
          assertEquals(message.contentType, envelope["content-type"]);
          const { properties } = envelope;
          const body = properties.body_encoding === "base64"
            ? atob(envelope.body)
            : new TextDecoder("latin1").decode(
              new TextEncoder().encode(envelope.body),
            );
          assertEquals(
            String.fromCharCode(...message.body),
            body,
          );
          assertEquals(
            message.deliveryInfo.routingKey,
            properties.delivery_info.routing_key,
          );
          assertEquals(
            message.deliveryInfo.redelivered,
            properties.delivery_info.redelivered ?? envelope.redelivered ??
              false,
          );
          await message.ack();
          if (expected.length === 0) break;
        }
        assertEquals(await redis.exists(prefix + key), 0);
      },
    );
  }
}

onRedis(
  "python_json_traps: values that Python writes beyond JSON are read",
  async ({ connection, redis, prefix }) => {
    const found = traps.cases.find(({ name }) => name === "python_json_traps");
    const [, key = "", text = ""] = found?.commands[0] ?? [];
    await redis.rpush(prefix + key, text);
    const message = await connection.simpleQueue<Record<string, unknown>>(key)
      .get();
    assert(Object.keys(message.payload).length > 0);
    await message.ack();
  },
);

onRedis(
  "binding twice, and over a member that an older Kombu wrote, is binding once",
  async ({ connection, redis, prefix }) => {
    const exchange = new Exchange("ex", { type: "topic" });
    const queue = new Queue("t0", { exchange, routingKey: "usd.*" });
    const old = "usd.*\x06\x16^usd\\..*?[^\\.]$\x06\x16t0";
    await redis.sadd(`${prefix}_kombu.binding.ex`, old);
    await connection.declare(queue);
    await connection.declare(queue);
    const producer = connection.producer({ exchange });
    await producer.publish(1, { routingKey: "usd.x" });
    assertEquals(await redis.llen(`${prefix}t0`), 1);
    const channel = await connection.channel();
    await channel.unbind({
      source: "ex",
      destination: { kind: "queue", name: "t0" },
      routingKey: "usd.*",
      arguments: {},
    });
    // Of all ages: what stayed would feed the queue on.
    assertEquals(await redis.exists(`${prefix}_kombu.binding.ex`), 0);
    await channel[Symbol.asyncDispose]();
  },
);

onRedis(
  "both of Kombu 5.7's sets have a binding, and neither has it when the queue is deleted",
  async ({ connection, redis, prefix }) => {
    const exchange = new Exchange("ex", { type: "topic" });
    await connection.declare(new Queue("q", { exchange, routingKey: "a.*" }));
    const member = `a.*\x06\x16${formatPattern("a.*")}\x06\x16q`;
    const sets = ["binding", "binding_permanent"];
    for (const set of sets) {
      assertEquals(await redis.smembers(`${prefix}_kombu.${set}.ex`), [member]);
    }
    const channel = await connection.channel();
    await channel.deleteQueue("q");
    for (const set of sets) {
      assertEquals(await redis.exists(`${prefix}_kombu.${set}.ex`), 0);
    }
    await channel[Symbol.asyncDispose]();
  },
);
