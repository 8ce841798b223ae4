/** Messages that Kombu writes and expects, from runs of it. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { decodeBody, encodeBody } from "../../../transports/sqs/body.ts";
import { policyFor } from "../../../transports/sqs/fanout.ts";
import { entityName } from "../../../transports/sqs/names.ts";
import { EnvelopeWriter } from "../../../transports/store/mod.ts";
import golden from "../../golden/sqs_kombu_main.json" with { type: "json" };
import { test, unique } from "../../support/sqs.ts";

interface Case {
  readonly name: string;
  readonly names?: Readonly<Record<string, string | undefined>>;
  readonly api_calls: readonly (readonly [
    string,
    {
      readonly MessageBody?: string;
      readonly Message?: string;
      readonly Attributes?: { readonly Policy?: string };
    },
  ])[];
}

function caseOf(name: string): Case {
  const cases: readonly unknown[] = golden.cases;
  const found = cases.find((each): each is Case =>
    typeof each === "object" && each !== null && "name" in each &&
    each.name === name
  );
  assert(found !== undefined, name);
  return found;
}

/** The bodies that a run of Kombu sent. */
function bodiesOf(name: string): readonly string[] {
  return caseOf(name).api_calls.flatMap(([, { MessageBody, Message }]) =>
    MessageBody ?? Message ?? []
  );
}

for (const [name, expected] of Object.entries(caseOf("names").names ?? {})) {
  Deno.test(`entityName("${name}") is Kombu's`, () => {
    assertEquals(entityName(name), expected);
  });
}

for (
  const name of [
    "publish",
    "publish_plain",
    "publish_attrs_delay",
    "publish_fifo",
    "connect_prefix",
    "sns_fanout",
  ]
) {
  Deno.test(`decodeBody() reads what Kombu sent: ${name}`, () => {
    const bodies = bodiesOf(name);
    assert(bodies.length > 0);
    for (const body of bodies) {
      const { message } = decodeBody(body, "q");
      assert(!("error" in message));
      const sent = JSON.parse(body.startsWith("{") ? body : atob(body));
      const { delivery_info: info } = sent.properties;
      assertEquals(message.exchange, info.exchange);
      assertEquals(message.routingKey, info.routing_key);
      assertEquals(message.properties.contentType, sent["content-type"]);
      assertEquals(message.properties.headers, sent.headers);
      assertEquals(
        new TextDecoder().decode(message.body),
        atob(sent.body),
      );
    }
  });
}

for (
  const [name, base64] of [["publish", true], ["publish_plain", false]] as const
) {
  Deno.test(`encodeBody() writes the envelope that Kombu wrote: ${name}`, () => {
    const [sent = ""] = bodiesOf(name);
    const { message } = decodeBody(sent, "q");
    assert(!("error" in message));
    const theirs = JSON.parse(base64 ? atob(sent) : sent);
    const envelope = new EnvelopeWriter()
      .write(message, theirs.properties.delivery_tag);
    const ours = encodeBody(envelope, base64);
    assertEquals(JSON.parse(base64 ? atob(ours) : ours), theirs);
  });
}

Deno.test("encodeBody() writes ASCII, whatever the headers", () => {
  const envelope = JSON.stringify({ h: "é董\u0007\ud800\ufffe" });
  assertEquals(JSON.parse(encodeBody(envelope, false)), JSON.parse(envelope));
  assert(/^[\x20-\x7e]*$/.test(encodeBody(envelope, false)));
});

for (
  const text of [
    "just text",
    '{"a": 1}',
    "abcd",
    "dGV4dA",
    "dGV4dB==", // bits that no byte has
    "dGV4 dA=",
    "dGV4\n\n\n\ndA==",
    "",
    "[1]",
    "42",
    // Words that happen to be base64 of text.
    "EDIT",
    "MAIL",
    "STOP",
    btoa("just text"),
    btoa('{"a": 1}'),
    // Other programs have properties, too.
    '{"type": "Feature", "properties": {"name": "Dinagat"}}',
    '{"body": "b", "headers": {}, "properties": {"plan": "pro"}}',
    '{"body": "b", "properties": {"delivery_info": {}}, "x": "\\"delivery_tag\\""}',
    '{"body": 5, "properties": {}}',
    btoa('{"body": 5, "properties": {}}'),
    `{"wrapped": ${
      JSON.stringify(bodiesOf("publish_plain")[0])
    }, "properties": {}, "body": "b"}`,
    '{"Type": "Notification", "Message": "hello"}',
    '{"properties": {"delivery_info": {}, "delivery_tag": "t"}}',
  ]
) {
  Deno.test(`decodeBody() takes ${JSON.stringify(text)} for a body, as it is`, () => {
    const { message } = decodeBody(text, "q");
    assert(!("error" in message));
    assertEquals(new TextDecoder().decode(message.body), text);
    assertEquals(message.properties, {});
    assertEquals([message.exchange, message.routingKey], ["", "q"]);
  });
}

for (
  const text of [
    '{"body": 5, "properties": {"delivery_info": {}, "delivery_tag": "t"}}',
    '{"body": "b", "headers": 5, "properties": {"delivery_info": {}, "delivery_tag": "t"}}',
    '{"body": "b", "headers": {"x": {"__type__": "nobody\'s", "__value__": NaN}}, "properties": {"delivery_info": {}, "delivery_tag": "t"}}',
  ]
) {
  Deno.test(`decodeBody() gives the envelope ${text}, which is broken, as it is`, () => {
    for (const sent of [text, btoa(text)]) {
      const { message } = decodeBody(sent, "q");
      assert("error" in message);
      assertEquals(new TextDecoder().decode(message.body), text);
    }
  });
}

Deno.test("policyFor() writes Kombu's statement", () => {
  const [, queue = "", topic = ""] = [
    "",
    "arn:aws:sqs:us-east-1:123456789012:f1",
    "arn:aws:sns:us-east-1:123456789012:ev-ents",
  ];
  const written =
    caseOf("sns_fanout").api_calls.flatMap(([, { Attributes }]) =>
      Attributes?.Policy ?? []
    )[0] ?? "";
  assertEquals(
    JSON.parse(policyFor(undefined, queue, topic) ?? ""),
    JSON.parse(written),
  );
  assertEquals(policyFor(written, queue, topic), undefined);
});

Deno.test("policyFor() keeps other statements, and adds a second topic", () => {
  const other = { Sid: "Mine", Effect: "Deny" };
  const first = policyFor(JSON.stringify({ Statement: other }), "q", "one");
  const { Statement } = JSON.parse(policyFor(first, "q", "two") ?? "");
  assertEquals(Statement[0], other);
  assertEquals(Statement.length, 2);
  assertEquals(Statement[1].Condition.ArnLike["aws:SourceArn"], ["one", "two"]);
});

test("a queue is created as Kombu creates it", async ({ relay, open }) => {
  const connection = open({
    transportOptions: {
      queueNamePrefix: "p.",
      queueAttributes: { KmsMasterKeyId: "alias/aws/sqs" },
      queueTags: { Team: "x" },
      visibilityTimeout: 90_700,
    },
  });
  const name = unique();
  await connection.declare(new Queue(`${name}.a`));
  const body = relay.first("CreateQueue");
  assertEquals(body, {
    QueueName: `p-${name}-a`,
    Attributes: {
      VisibilityTimeout: "90",
      KmsMasterKeyId: "alias/aws/sqs",
    },
    tags: { Team: "x" },
  });
  await connection.channel().then((channel) =>
    channel.deleteQueue(`${name}.a`)
  );
});

Deno.test("a URL without credentials is refused with what would be right", async () => {
  const connection = createConnection("sqs://");
  const error = await connection.connect().catch((error) => error);
  assertEquals(error.code, "option-invalid");
  assert(error.message.includes("sqs://KEY:SECRET@"));
  await connection.close();
});
