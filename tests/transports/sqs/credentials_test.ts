/** The credentials that requests to SQS are signed with. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import {
  CredentialSource,
  type SqsCredentials,
} from "../../../transports/sqs/credentials.ts";
import { readSettings } from "../../../transports/sqs/options.ts";
import { parseUrl } from "../../../url/mod.ts";
import { refusal } from "../../support/aws_relay.ts";
import { TestClock } from "../../../testing/clock.ts";
import { QUICK, test, unique } from "../../support/sqs.ts";

const MINUTE = 60_000;

/** Gives credentials that last so long, and counts. */
function source(clock: TestClock, life: number) {
  const asked: number[] = [];
  const given = new CredentialSource(() => {
    asked.push(clock.wall());
    return {
      accessKeyId: `key${asked.length}`,
      secretAccessKey: "secret",
      expiration: new Date(clock.wall() + life),
    };
  }, clock);
  return { asked, given };
}

Deno.test("credentials are asked for again five minutes before they expire", async () => {
  const clock = new TestClock();
  const { asked, given } = source(clock, 60 * MINUTE);
  assertEquals((await given.get()).accessKeyId, "key1");
  clock.pass(55 * MINUTE - 1);
  assertEquals((await given.get()).accessKeyId, "key1");
  clock.pass(1);
  assertEquals((await given.get()).accessKeyId, "key2");
  assertEquals(asked, [0, 55 * MINUTE]);
});

Deno.test("credentials with a short life are used for half of it", async () => {
  const clock = new TestClock();
  const { asked, given } = source(clock, 2 * MINUTE);
  for (let i = 0; i < 120; i++) {
    await given.get();
    clock.pass(1000);
  }
  assertEquals(asked, [0, MINUTE]);
});

Deno.test("credentials are asked for once by all who wait", async () => {
  const clock = new TestClock();
  const { asked, given } = source(clock, 60 * MINUTE);
  await Promise.all([given.get(), given.get(), given.get()]);
  assertEquals(asked.length, 1);
  given.forget();
  assertEquals((await given.get()).accessKeyId, "key2");
});

Deno.test("credentials serve to their end if new ones cannot be had", async () => {
  const clock = new TestClock();
  let broken = false;
  const given = new CredentialSource(() => {
    if (broken) throw new Error("no answer");
    return {
      accessKeyId: "key",
      secretAccessKey: "secret",
      expiration: new Date(clock.wall() + 60 * MINUTE),
    };
  }, clock);
  await given.get();
  broken = true;
  clock.pass(59 * MINUTE);
  assertEquals((await given.get()).accessKeyId, "key");
  clock.pass(MINUTE);
  const error = await given.get().catch((error) => error);
  assertEquals([error.code, error.retryable], ["authentication-failed", true]);
  broken = false;
  assertEquals((await given.get()).accessKeyId, "key");
});

for (
  const [what, given] of [
    ["nothing", undefined],
    ["half of a key", { accessKeyId: "key" }],
    ["an expiration that is text", {
      accessKeyId: "key",
      secretAccessKey: "secret",
      expiration: "2026-01-01T00:00:00Z",
    }],
    ["an expiration that is no time", {
      accessKeyId: "key",
      secretAccessKey: "secret",
      expiration: new Date("soon"),
    }],
  ] as const
) {
  Deno.test(`whoever gives ${what} for credentials is told so, and not asked for ever`, async () => {
    const ask: () => unknown = () => given;
    const connection = createConnection("sqs://127.0.0.1:1", {
      transportOptions: { credentials: ask },
    });
    const error = await connection.connect().catch((error) => error);
    assertEquals([error.name, error.retryable, error.outcome], [
      "AuthenticationError",
      false,
      "not-sent",
    ]);
    assert(error.message.includes("accessKeyId"), error.message);
    assert(!error.message.includes('"secret"'));
    await connection.close();
  });
}

/** Returns the settings that a URL and options result in. */
function settings(
  text: string,
  transportOptions?: Readonly<Record<string, unknown>>,
  password?: () => string,
) {
  return readSettings(parseUrl(text), {
    transportOptions: transportOptions ?? {},
    password,
  });
}

Deno.test("readSettings() finds endpoint and region in the URL, or in the options", () => {
  const of = (text: string, options = {}) => {
    const { access: { endpoint, region }, snsEndpoint } = settings(
      text,
      options,
    );
    return [endpoint, region, snsEndpoint];
  };
  assertEquals(of("sqs://k:s@"), [undefined, "us-east-1", undefined]);
  assertEquals(of("sqs://k:s@?region=eu-west-1"), [
    undefined,
    "eu-west-1",
    undefined,
  ]);
  assertEquals(of("sqs://k:s@localhost:9324//"), [
    "http://localhost:9324",
    "us-east-1",
    "http://localhost:9324",
  ]);
  assertEquals(
    of("sqs://k:s@sqs.example:443//?is_secure=1")[0],
    "https://sqs.example:443",
  );
  assertEquals(of("sqs://k:s@sqs.eu-central-1.amazonaws.com"), [
    "https://sqs.eu-central-1.amazonaws.com",
    "eu-central-1",
    undefined,
  ]);
  assertEquals(
    of("sqs://k:s@sqs.cn-north-1.amazonaws.com.cn")[1],
    "cn-north-1",
  );
  assertEquals(
    of("sqs://k:s@sqs.us-gov-west-1.amazonaws.com")[1],
    "us-gov-west-1",
  );
  assertEquals(
    of("sqs://k:s@", { endpoint: "https://vpce", snsEndpoint: "https://sns" }),
    ["https://vpce", "us-east-1", "https://sns"],
  );
  // No host of AWS, whatever it looks like.
  assertEquals(
    of("sqs://k:s@amazonaws.com.evil")[0],
    "http://amazonaws.com.evil",
  );
});

Deno.test("readSettings() takes credentials with any characters, from wherever they come", async () => {
  const of = async (...args: Parameters<typeof settings>) =>
    await settings(...args).access.credentials?.();
  assertEquals(await of("sqs://AK%2FID:SE%2FC%40RET@?session_token=t"), {
    accessKeyId: "AK/ID",
    secretAccessKey: "SE/C@RET",
    sessionToken: "t",
  });
  assertEquals(
    (await of("sqs://k@", {}, () => "asked"))?.secretAccessKey,
    "asked",
  );
  const credentials: SqsCredentials = {
    accessKeyId: "a",
    secretAccessKey: "b",
  };
  assertEquals(await of("sqs://", { credentials }), credentials);
  assertEquals(
    await of("sqs://", { credentials: () => credentials }),
    credentials,
  );
  assertEquals(
    settings("sqs://", { credentials: "default" }).access.credentials,
    undefined,
  );
  assertEquals(
    settings("sqs://", { credentials: "default" }).access.region,
    undefined,
  );
});

for (
  const [text, options] of [
    ["sqs://", {}],
    ["sqs://k@", {}],
    ["sqs://k:s@", { credentials: "default" }],
    ["sqs://", { credentials: "defualt" }],
    ["sqs://", { credentials: { accessKeyId: "a" } }],
    ["sqs://", {
      credentials: { accessKeyId: "a", secretAccessKey: "s", sessionToken: 1 },
    }],
    ["sqs://k:s@?wait_time_seconds=21", {}],
    ["sqs://k:s@", { waitTime: 1500 }],
    ["sqs://k:s@?visibility_timeout=0", {}],
    ["sqs://k:s@?endpoint=localhost:1", {}],
    ["sqs://k:s@", { maxMessageSize: 2 ** 21 }],
    ["sqs://k:s@", { predefinedQueues: { q: "not a url" } }],
    ["sqs://k:s@", { queueTags: { a: 1 } }],
  ] as const
) {
  Deno.test(`readSettings() refuses ${text} with ${JSON.stringify(options)}`, () => {
    let error: unknown;
    try {
      settings(text, options);
    } catch (caught) {
      error = caught;
    }
    assert(error instanceof Error && "code" in error);
    assertEquals(error.code, "option-invalid");
    assert(!error.message.includes('"s"'));
  });
}

for (
  const [old, right] of [
    ["supportsFanout", "fanout"],
    ["maxMessageBytes", "maxMessageSize"],
    ["creationAttributes", "queueAttributes"],
  ] as const
) {
  Deno.test(`readSettings() answers the old name "${old}" with "${right}"`, () => {
    assertThrows(
      () => settings("sqs://k:s@", { [old]: 1 }),
      Error,
      `did you mean "${right}"?`,
    );
  });
}

test("credentials and their token are asked for, and again when AWS says that they have expired", async ({ open, relay }) => {
  let asked = 0;
  const connection = createConnection(
    relay.urlOf(QUICK).replace("key:secret@", ""),
    {
      transportOptions: {
        credentials: () => ({
          accessKeyId: `key${++asked}`,
          secretAccessKey: "secret",
          sessionToken: `token${asked}`,
        }),
      },
    },
  );
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  assertEquals(asked, 1);
  relay.intercept = ({ token }) =>
    token === "token1" ? refusal(403, "ExpiredToken") : undefined;
  await producer.publish(2, { routingKey: queue.name });
  assertEquals(asked, 2);
  assertEquals(
    relay.of("SendMessageBatch").map(({ key, token }) => [key, token]),
    [["key1", "token1"], ["key1", "token1"], ["key2", "token2"]],
  );
  await connection.close();
  await open().channel().then((channel) => channel.deleteQueue(queue.name));
});

test("credentials that stay expired are an authentication-failed that may pass", async ({ open, relay }) => {
  const connection = open({ reconnect: false });
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  relay.intercept = () => refusal(403, "ExpiredTokenException");
  const error = await producer.publish(2, { routingKey: queue.name })
    .catch((error) => error);
  assertEquals(
    [error.name, error.retryable, error.outcome],
    ["AuthenticationError", true, "not-sent"],
  );
  assertEquals(relay.of("SendMessageBatch").length, 3);
  relay.intercept = () => undefined;
  await open().channel().then((channel) => channel.deleteQueue(queue.name));
});

for (
  const code of [
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
  ]
) {
  test(`connect() with a key that AWS does not know is an AuthenticationError: ${code}`, async ({ open, relay }) => {
    relay.intercept = () => refusal(403, code);
    const connection = open();
    const error = await connection.connect().catch((error) => error);
    assertEquals([error.name, error.retryable], ["AuthenticationError", false]);
    assert(!String(error).includes("secret"));
    assertEquals(relay.requests.length, 1);
  });
}
