import { assert, assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../../model/errors.ts";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { OptionError } from "../../../model/errors.ts";
import { findTransport } from "../../../transports/load.ts";
import {
  Layout,
  type LayoutOptions,
} from "../../../transports/redis/layout.ts";
import { formatPattern } from "../../../virtual/topic.ts";
import { readRedisOptions } from "../../../transports/redis/options.ts";
import {
  markRedelivered,
  readStored,
  readUnacked,
  withExpiry,
} from "../../../transports/redis/stored.ts";
import { fillDefaults, parseUrl, readSharedQuery } from "../../../url/mod.ts";
import envelopes from "../../golden/envelopes.json" with { type: "json" };
import fanout from "../../golden/redis_fanout_channels.json" with {
  type: "json",
};
import kombu from "../../golden/redis_kombu_main.json" with { type: "json" };
import priorities from "../../golden/redis_priority_lists.json" with {
  type: "json",
};
import topics from "../../golden/topic_match.json" with { type: "json" };
import urls from "../../golden/redis_urls.json" with { type: "json" };

const OPTIONS: LayoutOptions = {
  prefix: "",
  sep: "\x06\x16",
  steps: [0, 3, 6, 9],
  highestFirst: true,
  unackedKey: "unacked",
  unackedIndexKey: "unacked_index",
  database: 7,
  fanoutPrefix: true,
  fanoutPatterns: true,
};

for (const { steps, priority, list } of priorities.cases) {
  // A priority of another type never comes so far: the producer refuses it.
  if (typeof priority !== "number") continue;
  Deno.test(`list() is Kombu's for priority ${priority} of steps ${steps}`, () => {
    const layout = new Layout({ ...OPTIONS, steps });
    assertEquals(layout.list(priorities.queue, priority), list);
    assertEquals(layout.queueOf(list), priorities.queue);
  });
}

for (const { name, options, command } of fanout.cases) {
  Deno.test(`channel() is Kombu's: ${name}`, () => {
    const layout = new Layout({
      ...OPTIONS,
      prefix: options.global_keyprefix ?? "",
      fanoutPrefix: options.fanout_prefix ?? true,
      fanoutPatterns: options.fanout_patterns ?? true,
    });
    const { exchange, routing_key: key } = fanout;
    assertEquals(layout.channel(exchange, key), command[1]);
  });
}

Deno.test("patterns() match channels with a key and without one, and no other exchange's", () => {
  const layout = new Layout(OPTIONS);
  assertEquals(layout.patterns("a*b"), ["/7.a\\*b", "/7.a\\*b/*"]);
});

const patterns = new Map(
  topics.rows.map(({ binding_key: key, kombu_pattern: text }) => [key, text]),
);
const declared = kombu.cases.find(({ name }) => name === "declare_topic");
for (const [key, text] of Object.entries(declared?.patterns ?? {})) {
  patterns.set(key, text);
}
for (const [key, regex] of patterns) {
  Deno.test(`formatPattern() of ${JSON.stringify(key)} is Kombu 5.7's`, () => {
    // The fixture is of the version before, which wrote another text for "*".
    assertEquals(formatPattern(key), regex.replaceAll(".*?[^\\.]", "[^\\.]+"));
  });
}

Deno.test("members are written and read with keys that have the separator's bytes", () => {
  const layout = new Layout(OPTIONS);
  const member = { routingKey: "k", pattern: "", queue: "video" };
  const text = layout.formatMember(member);
  assertEquals(text, "k\x06\x16\x06\x16video");
  assertEquals(layout.parseMember(text), member);
  assertEquals(layout.parseMember("nonsense"), undefined);
});

function read(text: string, transportOptions = {}) {
  const { rest, shared } = readSharedQuery(parseUrl(text));
  const { defaults } = findTransport(rest.scheme);
  return readRedisOptions(fillDefaults(rest, defaults), {
    heartbeat: 0,
    operationTimeout: 1000,
    owner: "me",
    clock: SYSTEM_CLOCK,
    tls: shared.ssl,
    transportOptions,
  });
}

for (const { url, error, connection_params: expected } of urls.cases) {
  // Differences between Kombu and us: `ssl=1` is TLS, a file is not read, a database below
  // 0 is refused, and a sentinel needs its master's name.
  if (/ssl=1|ssl_ca_certs|\/-1|sentinel/.test(url)) continue;
  Deno.test(`readRedisOptions() reads ${url} as Kombu does`, () => {
    if (error !== undefined) {
      assertThrows(() => read(url), OptionError);
      return;
    }
    assert(expected !== undefined);
    const { address } = read(url);
    assertEquals(address.database, expected.db);
    assertEquals(address.username ?? null, expected.username);
    if (expected.path !== undefined) {
      assertEquals(address.path, expected.path);
      return;
    }
    assertEquals(address.path, undefined);
    const host = expected.host === "127.0.0.1" ? "127.0.0.1" : expected.host;
    assertEquals(address.hosts[0], { hostname: host, port: expected.port });
    assertEquals(address.tls !== undefined, url.startsWith("rediss"));
  });
}

const REFUSED: readonly (readonly [string, object, string])[] = [
  ["redis://h/-1", {}, '"-1"'],
  ["redis://h/abc", {}, '"abc"'],
  ["redis://h", { visibility_timeout: 1 }, "visibilityTimeout"],
  ["redis://h?visibility_timeout=0", {}, "more than 0"],
  ["redis://h?nonsense=1", {}, '"nonsense"'],
  ["redis://h", { prioritySteps: [3, 0] }, "ascend"],
  ["redis://h", { priorityOrder: "up" }, "lowest-first"],
  ["redis://h", { separator: "" }, "not empty"],
  ["redis://h", { fanoutPrefix: "x" }, "begins with"],
  ["redis://h", { masterName: "m" }, "sentinel://"],
  ["redis://h", { virtualHost: "1" }, "Unix sockets"],
  ["sentinel://h", {}, "masterName"],
  ["redis+socket://", {}, "path"],
];

for (const [url, options, told] of REFUSED) {
  Deno.test(`readRedisOptions() refuses ${url} with ${JSON.stringify(options)}`, () => {
    const error = assertThrows(() => read(url, options), OptionError);
    assert(error.message.includes(told), error.message);
  });
}

Deno.test("readRedisOptions() reads Kombu's names and units in a URL", () => {
  const { layout, visibilityTimeout, queueOrderStrategy, fanout } = read(
    "redis://h/2?visibility_timeout=60&sep=%3A&priority_steps=0,5&fanout=queue" +
      "&queue_order_strategy=round_robin&global_keyprefix=kp%3A" +
      "&priority_order=lowest-first&fanout_prefix=false",
  );
  assertEquals(visibilityTimeout, 60_000);
  assertEquals(queueOrderStrategy, "round-robin");
  assertEquals(fanout, "queue");
  assertEquals(layout, {
    ...OPTIONS,
    prefix: "kp:",
    sep: ":",
    steps: [0, 5],
    highestFirst: false,
    database: 2,
    fanoutPrefix: false,
  });
});

const utf8 = (text: string) => new TextEncoder().encode(text);
const stored = (name: string) => {
  const found = kombu.cases.find((each) => each.name === name);
  assert(found !== undefined);
  const [value] = Object.values(found.keys_after);
  assert(value !== undefined && Array.isArray(value.value));
  return String(value.value[0]);
};

Deno.test("markRedelivered() marks as Kombu's restore does, and nothing else but the name changes", () => {
  const before = stored("publish_default_exchange");
  const marked = markRedelivered(before, "o.c.12");
  const expected = JSON.parse(before);
  expected.headers.redelivered = true;
  expected.properties.delivery_info.redelivered = true;
  expected.properties.delivery_tag += ";count=1;taken=o.c.12";
  assertEquals(JSON.parse(marked), expected);
  const { redelivered, deliveryCount, message } = readStored(utf8(marked));
  assertEquals([redelivered, deliveryCount], [true, 1]);
  assert("properties" in message);
  assertEquals(message.properties.headers, {});
  const twice = markRedelivered(marked, "o.d.3");
  expected.properties.delivery_tag = expected.properties.delivery_tag.replace(
    "count=1;taken=o.c.12",
    "count=2;taken=o.d.3",
  );
  assertEquals(JSON.parse(twice), expected);
});

Deno.test("markRedelivered() takes what Kombu marked, headers, and envelopes of other shapes", () => {
  const requeued = stored("requeue");
  assertEquals(
    JSON.parse(markRedelivered(requeued, "f.c.1")).headers,
    { redelivered: true },
  );
  const all = stored("publish_all_properties");
  assertEquals(JSON.parse(markRedelivered(all, "f.c.1")).headers, {
    redelivered: true,
    ...JSON.parse(all).headers,
  });
  const other = '{"properties":{"delivery_tag":"t"},"body":"x"}';
  assertEquals(JSON.parse(markRedelivered(other, "f.c.1")), {
    body: "x",
    headers: { redelivered: true },
    properties: { delivery_tag: "t", delivery_info: { redelivered: true } },
  });
});

Deno.test("withExpiry() is read again, and kept when a message is given back", () => {
  const text = withExpiry(stored("publish_default_exchange"), 1700000000123.9);
  assertEquals(readStored(utf8(text)).expiresAt, 1700000000123);
  const marked = markRedelivered(text, "f.c.1");
  assertEquals(readStored(utf8(marked)).expiresAt, 1700000000123);
  assertEquals(readStored(utf8(stored("requeue"))).expiresAt, Infinity);
});

for (const { name, stored } of envelopes.cases) {
  if (stored === undefined) continue;
  Deno.test(`markRedelivered() leaves the rest of a message alone: ${name}`, () => {
    const { headers, properties, ...rest } = JSON.parse(
      markRedelivered(stored, "f.c.1"),
    );
    const { headers: before, properties: old, ...same } = JSON.parse(stored);
    assertEquals(rest, same);
    assertEquals(headers, { ...before, redelivered: true });
    assertEquals(properties.delivery_info, {
      ...old.delivery_info,
      redelivered: true,
    });
    assert(properties.delivery_tag.startsWith(old.delivery_tag));
  });
}

Deno.test("readUnacked() gives back Kombu's envelope byte for byte", () => {
  const text = stored("publish_all_properties");
  const named = `[${text}, "media/é", "rk"]`;
  assertEquals(readUnacked(utf8(named)).bytes, utf8(text));
  assertEquals(readUnacked(utf8(named)).exchange, "media/é");
  const ours = `[${text}, "", "a\\/b"]`;
  assertEquals(readUnacked(utf8(ours)), {
    bytes: utf8(text),
    exchange: "",
    routingKey: "a/b",
    priority: 5,
  });
});

Deno.test("markRedelivered() takes nothing apart, whatever an envelope's shape", () => {
  const strange =
    '{"x": [1.0, NaN, 12345678901234567890, "}\\"]{"], "when": {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}}';
  const pieces = [
    ['{ "headers" : ', ', "properties": {"delivery_tag": "t"}, "body": "x" }'],
    ['{"properties": {}, "body": "x", "headers":', "}"],
    ['{"properties": {"delivery_info": {}}, "headers": ', "}"],
    ['{"properties": {"delivery_info": {"redelivered":false}},"headers":', "}"],
  ] as const;
  for (const [before, after] of pieces) {
    const marked = markRedelivered(before + strange + after, "f.c.1");
    assert(marked.includes(strange.slice(1)), marked);
    const { headers, properties } = JSON.parse(
      marked.replace("NaN", "0"),
    );
    assertEquals(headers.redelivered, true);
    assertEquals(properties.delivery_info, { redelivered: true });
  }
  for (
    const text of ["", "{", "[]", '{"a', '{"a":', '{"a":}', '{"a":1,}', "1"]
  ) {
    assertEquals(markRedelivered(text, "f.c.1"), text);
  }
});

Deno.test("markRedelivered() takes the last of two members of a name, as parsers do", () => {
  const text = '{"headers": {"a": 1}, "headers": {}, "properties": {}}';
  const { headers } = JSON.parse(markRedelivered(text, "f.c.1"));
  assertEquals(headers, { redelivered: true });
});

for (const value of ["", "[", "[{", "{}", "[1, 2, 3]", "[{}]", "rubbish"]) {
  Deno.test(`readUnacked() refuses ${JSON.stringify(value)}`, () => {
    assertThrows(() => readUnacked(utf8(value)), DecodeError);
  });
}

const RUBBISH: readonly (readonly [string, Uint8Array])[] = [
  ["nothing", new Uint8Array(0)],
  ["no JSON", utf8("rubbish")],
  ["no UTF-8", new Uint8Array([0x7b, 0xff, 0xfe])],
  ["a list", utf8("[]")],
  ["no body", utf8("{}")],
  ["a body that is no text", utf8('{"body": 1}')],
  [
    "base64 that was cut off",
    utf8('{"body": "YWJ", "properties": {"body_encoding": "base64"}}'),
  ],
];

for (const [name, bytes] of RUBBISH) {
  Deno.test(`readStored() tells what is no message: ${name}`, () => {
    const { message } = readStored(bytes);
    assert("error" in message);
    assertEquals(message.body, bytes);
  });
}
