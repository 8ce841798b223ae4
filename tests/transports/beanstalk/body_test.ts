/** The pure parts of the beanstalkd transport. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DecodeError, PreconditionFailedError } from "../../../model/errors.ts";
import type { Publishing } from "../../../model/message.ts";
import {
  BodyWriter,
  jobPriority,
  readBody,
  Statistics,
  timeLeft,
  wholeSeconds,
} from "../../../transports/beanstalk/body.ts";
import { tubeOf } from "../../../transports/beanstalk/tubes.ts";

const encode = (text: string) => new TextEncoder().encode(text);

const MESSAGE: Publishing = {
  exchange: "media",
  routingKey: "a.b",
  mandatory: true,
  delay: 100,
  properties: { headers: { n: 1, é: "☺" }, messageId: "m", expiration: 5 },
  body: Uint8Array.of(0, 13, 10, 255),
};

for (
  const life of [
    undefined,
    { duration: 0, putAt: 0 },
    { duration: 30_000, putAt: 1_700_000_000_000 },
  ]
) {
  Deno.test(`readBody() reads what a writer wrote, of a life of ${life?.duration}`, () => {
    const body = encode(new BodyWriter().write(MESSAGE, life));
    const read = readBody(body);
    assertEquals(read.life, life);
    assertEquals(read.redelivered, false);
    assert(!("error" in read.message));
    const { exchange, routingKey, properties, body: found } = read.message;
    assertEquals([exchange, routingKey], ["media", "a.b"]);
    assertEquals(properties.headers, MESSAGE.properties.headers);
    assertEquals(properties.expiration, 5);
    assertEquals(found, MESSAGE.body);
    JSON.parse(new TextDecoder().decode(body)); // Kombu's reader is no other
  });
}

Deno.test("timeLeft() goes by beanstalkd's age, and by our calendar within its second alone", () => {
  const life = { duration: 1500, putAt: 1_000_000 };
  assertEquals(timeLeft(life, 1, 1_001_200), 300);
  assertEquals(timeLeft(life, 1, 1_001_500), 0);
  for (const wrong of [1_000_000 + 120_000, 1_000_000 - 120_000, 0]) {
    assertEquals(timeLeft(life, 1, wrong), 500, "it lives");
    assertEquals(timeLeft(life, 2, wrong), -500, "it is dead");
  }
});

for (
  const [what, body] of [
    ["nothing", new Uint8Array(0)],
    ["no UTF-8", Uint8Array.of(0x7b, 0xff)],
    ["a list", encode("[]")],
    ["an object without a body", encode("{}")],
  ] as const
) {
  Deno.test(`readBody() says why ${what} is no message, and keeps the bytes`, () => {
    const { message } = readBody(body);
    assert("error" in message);
    assert(message.error instanceof DecodeError);
    assertEquals(message.body, body);
  });
}

for (
  const [queue, tube] of [
    ["orders", "orders"],
    ["a-b+c/d;e.f$g_h(i)", "a-b+c/d;e.f$g_h(i)"],
    ["-x", "$2dx"],
    ["a b", "a$20b"],
    ["a$20b", "a$2420b"],
    ["a:$", "a$3a$24"],
    ["é", "$c3$a9"],
    ["x".repeat(200), "x".repeat(200)],
  ] as const
) {
  Deno.test(`tubeOf() names the tube of "${queue}"`, () => {
    assertEquals(tubeOf(queue), tube);
  });
}

for (const queue of ["", "x".repeat(201), ":".repeat(67)]) {
  Deno.test(`tubeOf() refuses a name of ${queue.length} characters`, () => {
    assertThrows(() => tubeOf(queue), PreconditionFailedError);
  });
}

Deno.test("jobPriority() puts the higher first, and those without last", () => {
  assertEquals([9, 5, 0, undefined].map((each) => jobPriority(each)), [
    0,
    4,
    9,
    9,
  ]);
  assertEquals(jobPriority(9, 3), 6);
  for (const bad of [-1, 10, 1.5, NaN]) {
    assertThrows(() => jobPriority(bad), RangeError);
  }
});

Deno.test("wholeSeconds() rounds up, and stops at what beanstalkd can count", () => {
  assertEquals([0, 1, 1000, 1001, Infinity].map(wholeSeconds), [
    0,
    1,
    1,
    2,
    2 ** 32 - 1,
  ]);
});

Deno.test("Statistics finds numbers and texts, with quotes and without", () => {
  const found = new Statistics(
    encode('---\nid: 7\ntube: a:b\nversion: "1.13"\npri: 0\n'),
  );
  assertEquals(found.number("id"), 7);
  assertEquals(found.number("nothing"), 0);
  assertEquals(found.text("tube"), "a:b");
  assertEquals(found.text("version"), "1.13");
});
