/** Predefined queues with regions and credentials of their own. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Exchange, Queue } from "@dashi/mq";
import { readSettings } from "../../../transports/sqs/options.ts";
import { parseUrl } from "../../../url/mod.ts";
import { take } from "../../conformance/stage.ts";
import { refusal } from "../../support/aws_relay.ts";
import {
  queueUrlOf,
  QUICK,
  type SqsStage,
  test,
  unique,
} from "../../support/sqs.ts";

/** Returns the predefined queues that options result in. */
function predefined(
  predefinedQueues: unknown,
  text = "sqs://k:s@",
  others: Readonly<Record<string, unknown>> = {},
) {
  const settings = readSettings(parseUrl(text), {
    transportOptions: { predefinedQueues, ...others },
    password: undefined,
  });
  const { access, predefinedQueues: queues } = settings;
  assert(queues !== undefined);
  return { access, queues };
}

const AT = "https://sqs.us-east-1.amazonaws.com/1";
const ONE = { accessKeyId: "one", secretAccessKey: "secret" };

Deno.test("readSettings() has one access for all queues of a region, an endpoint and credentials", () => {
  const ask = () => ONE;
  const { access, queues } = predefined({
    plain: `${AT}/plain`,
    object: { url: `${AT}/object` },
    one: { url: `${AT}/one`, credentials: ONE },
    again: { url: `${AT}/again`, credentials: { ...ONE } },
    token: { url: `${AT}/token`, credentials: { ...ONE, sessionToken: "t" } },
    asked: { url: `${AT}/asked`, credentials: ask },
    askedAgain: { url: `${AT}/again`, credentials: ask },
    abroad: { url: `${AT}/abroad`, credentials: ONE, region: "eu-west-1" },
    searched: { url: `${AT}/searched`, credentials: "default" },
  });
  const of = (name: string) => queues.get(name)?.access;
  assertEquals([of("plain"), of("object")], [access, access]);
  assert(of("one") === of("again") && of("asked") === of("askedAgain"));
  const all = new Set([...queues.values()].map((queue) => queue.access));
  assertEquals(all.size, 6);
  assert(of("asked")?.credentials === ask);
  assertEquals(of("searched")?.credentials, undefined);
});

Deno.test("readSettings() finds a queue's region in its options, in its URL, or in the connection's", () => {
  const europe = "https://sqs.eu-west-1.amazonaws.com/1/q";
  const of = (queue: unknown, text?: string) => {
    const { region, endpoint } = predefined({ q: queue }, text).queues.get("q")
      ?.access ?? {};
    return [region, endpoint];
  };
  const own = "sqs://k:s@?region=ap-south-1";
  assertEquals(of(`${AT}/q`, own), ["us-east-1", undefined]);
  assertEquals(of(europe, own), ["eu-west-1", undefined]);
  assertEquals(of({ url: europe, region: "eu-north-1" }, own), [
    "eu-north-1",
    undefined,
  ]);
  assertEquals(of("https://sqs.example/1/q", own), ["ap-south-1", undefined]);
  // A stand-in has all regions; one of AWS's endpoints has its own alone.
  const standIn = "sqs://k:s@localhost:9324";
  assertEquals(of(europe, standIn), ["eu-west-1", "http://localhost:9324"]);
  const private_ = "sqs://k:s@vpce-1.sqs.eu-west-1.vpce.amazonaws.com";
  assertEquals(of(europe, private_), [
    "eu-west-1",
    "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com",
  ]);
  assertEquals(of(`${AT}/q`, private_), ["us-east-1", undefined]);
});

Deno.test("readSettings() needs no credentials of the connection's where all queues have their own", () => {
  const { queues } = predefined(
    { q: { url: `${AT}/q`, credentials: ONE } },
    "sqs://",
  );
  assertEquals(queues.get("q")?.access.credentials?.(), ONE);
});

for (
  const [what, queues, words, text] of [
    ["no object", "https://x/1/q", ["predefinedQueues"]],
    ["a list", [`${AT}/q`], ["predefinedQueues"]],
    ["a number", { orders: 1 }, ['"orders"']],
    ["no URL", { orders: { region: "eu-west-1" } }, ['"orders"', "URL"]],
    ["another URL", { orders: { url: "orders" } }, ['"orders"', "https://sqs"]],
    [
      "a URL without .fifo",
      { "orders.fifo": { url: `${AT}/orders` } },
      ['"orders.fifo"', ".fifo"],
    ],
    ["another region", { orders: { url: `${AT}/q`, region: 1 } }, [
      '"orders"',
      "region",
    ]],
    ["half of a key", {
      orders: { url: `${AT}/q`, credentials: { secretAccessKey: "hush" } },
    }, ['"orders"', "credentials"]],
    ["Kombu's names", { orders: { url: `${AT}/q`, access_key_id: "x" } }, [
      '"orders"',
      '"access_key_id"',
      "credentials",
    ]],
    [
      "no credentials for one of them",
      { one: { url: `${AT}/q`, credentials: ONE }, orders: `${AT}/orders` },
      ["no credentials", '"orders"'],
      "sqs://",
    ],
  ] as const
) {
  Deno.test(`readSettings() refuses predefined queues with ${what}, and says of which`, () => {
    let error: unknown;
    try {
      predefined(queues, text);
    } catch (caught) {
      error = caught;
    }
    assert(error instanceof Error && error.name === "OptionError");
    for (const word of words) assert(error.message.includes(word), word);
    assert(!error.message.includes("hush"));
  });
}

interface Made {
  readonly name: string;
  readonly url: string;
  readonly region: string;
}

/** Makes a queue at the stand-in in each of some regions. */
async function make(
  { open, relay }: SqsStage,
  ...regions: readonly string[]
): Promise<readonly Made[]> {
  const made = await Promise.all(regions.map(async (region) => {
    const connection = open({ transportOptions: { region } });
    const name = unique();
    await connection.declare(new Queue(name));
    await connection.close();
    return { name, region, url: await queueUrlOf(name, region) };
  }));
  relay.requests.length = 0;
  return made;
}

async function remove(
  { open, relay }: SqsStage,
  queues: readonly Made[],
): Promise<void> {
  relay.intercept = () => undefined;
  for (const { name, region } of queues) {
    const channel = await open({ transportOptions: { region } }).channel();
    await channel.deleteQueue(name);
  }
}

test("each predefined queue is used with its own credentials and region, and the others with the connection's", async (stage) => {
  const { open, relay } = stage;
  const made = await make(stage, "us-east-1", "eu-west-1", "us-east-1");
  const [plain, fixed, asked] = made;
  assert(plain && fixed && asked);
  const connection = open({
    transportOptions: {
      predefinedQueues: {
        [plain.name]: plain.url,
        [fixed.name]: {
          url: fixed.url,
          region: "eu-west-1",
          credentials: { ...ONE, sessionToken: "token" },
        },
        [asked.name]: {
          url: asked.url,
          credentials: () =>
            Promise.resolve({ accessKeyId: "two", secretAccessKey: "secret" }),
        },
      },
    },
  });
  const producer = connection.producer<number>();
  for (const { name } of made) {
    const queue = new Queue(name);
    await connection.declare(queue);
    await producer.publish(1, { routingKey: name });
    const consumer = connection.consumer<number>(queue);
    for await (const message of consumer) {
      if (!message.deliveryInfo.redelivered) await message.requeue();
      else {
        await message.ack();
        break;
      }
    }
    await consumer.close();
  }
  const used = (url: string) => [
    ...new Set(
      relay.requests.filter(({ body }) => body.QueueUrl === url)
        .map(({ key, region, token }) => `${key} ${region} ${token ?? "-"}`),
    ),
  ];
  assertEquals(used(plain.url), ["key us-east-1 -"]);
  assertEquals(used(fixed.url), ["one eu-west-1 token"]);
  assertEquals(used(asked.url), ["two us-east-1 -"]);
  // All verbs were among them.
  assertEquals(relay.actions, [
    "ChangeMessageVisibilityBatch",
    "DeleteMessageBatch",
    "GetQueueAttributes",
    "ReceiveMessage",
    "SendMessageBatch",
  ]);
  await connection.close();
  await remove(stage, made);
});

test("a predefined queue's expired credentials are asked for again, and no others", async (stage) => {
  const { relay } = stage;
  const made = await make(stage, "us-east-1", "us-east-1");
  const [one, two] = made;
  assert(one && two);
  const asked = new Map<string, number>();
  const askerOf = (name: string) => () => {
    const count = (asked.get(name) ?? 0) + 1;
    asked.set(name, count);
    return { accessKeyId: `${name}${count}`, secretAccessKey: "secret" };
  };
  await using connection = createConnection(
    relay.urlOf(QUICK).replace("key:secret@", ""),
    {
      transportOptions: {
        predefinedQueues: {
          [one.name]: { url: one.url, credentials: askerOf("one") },
          [two.name]: { url: two.url, credentials: askerOf("two") },
        },
      },
    },
  );
  const producer = connection.producer<number>();
  const publish = (payload: number) =>
    Promise.all(
      [one, two].map(({ name }) =>
        producer.publish(payload, { routingKey: name })
      ),
    );
  await publish(1);
  relay.intercept = ({ key }) =>
    key === "one1" ? refusal(403, "ExpiredToken") : undefined;
  await publish(2);
  assertEquals(Object.fromEntries(asked), { one: 2, two: 1 });
  const keys = relay.of("SendMessageBatch").map(({ key }) => key);
  assertEquals(keys.toSorted(), ["one1", "one1", "one2", "two1", "two1"]);
  await connection.close();
  await remove(stage, made);
});

test("connect() with a predefined queue's key that AWS does not know says which queue", async (stage) => {
  const { open, relay } = stage;
  const [good, bad] = ["good", "bad"];
  relay.intercept = ({ key }) =>
    key === "one"
      ? refusal(403, "InvalidClientTokenId")
      : refusal(400, "AccessDeniedException");
  const connection = open({
    transportOptions: {
      predefinedQueues: {
        [good]: `${AT}/good`,
        [bad]: { url: `${AT}/bad`, credentials: ONE },
      },
    },
  });
  const error = await connection.connect().catch((error) => error);
  assertEquals([error.name, error.retryable], ["AuthenticationError", false]);
  assert(error.message.includes('"bad"'), error.message);
  assert(!error.message.includes("good"), error.message);
  assertEquals(relay.requests.length, 2);
});

test("fanout by SNS needs credentials of the connection's own, and says so", async (stage) => {
  const { relay } = stage;
  const made = await make(stage, "us-east-1");
  const [queue] = made;
  assert(queue);
  await using connection = createConnection(
    relay.urlOf(QUICK).replace("key:secret@", ""),
    {
      transportOptions: {
        predefinedQueues: {
          [queue.name]: { url: queue.url, credentials: ONE },
        },
      },
    },
  );
  const exchange = new Exchange(unique(), { type: "fanout" });
  const error = await connection.declare(exchange).catch((error) => error);
  assertEquals(error.name, "AuthenticationError");
  assert(error.message.includes('fanout: "queue"'), error.message);
  await connection.close();
  await remove(stage, made);
});

test("a predefined queue hears a topic of the connection's, each asked with its own credentials", async (stage) => {
  const { open, relay } = stage;
  const made = await make(stage, "us-east-1");
  const [{ name, url } = { name: "", url: "" }] = made;
  const connection = open({
    transportOptions: {
      predefinedQueues: { [name]: { url, credentials: ONE } },
    },
  });
  const exchange = new Exchange(unique(), { type: "fanout" });
  const queue = new Queue(name, { exchange });
  const producer = connection.producer<string>({ exchange, declare: [queue] });
  await producer.publish("all");
  const [message] = await take(connection.consumer<string>(queue), 1);
  assertEquals(message?.payload, "all");
  await message?.ack();
  const keys = (action: string) => [
    ...new Set(relay.of(action).map(({ key }) => key)),
  ];
  assertEquals(keys("SetQueueAttributes"), ["one"]);
  for (const action of ["CreateTopic", "Subscribe", "PublishBatch"]) {
    assertEquals(keys(action), ["key"]);
  }
  await connection.channel().then((each) => each.deleteExchange(exchange.name));
  await connection.close();
  await remove(stage, made);
});
