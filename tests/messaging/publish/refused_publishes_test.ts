import { assertEquals } from "@std/assert";
import { RefusedPublishes } from "../../../messaging/publish/refused_publishes.ts";
import { AccessRefusedError, PublishError } from "../../../model/errors.ts";
import type { Publishing } from "../../../model/message.ts";

function clockAt(time: { now: number }) {
  return { now: () => time.now, wall: () => time.now, timer: () => () => {} };
}

function message(
  exchange: string,
  routingKey: string,
  size = 0,
): Publishing {
  return {
    exchange,
    routingKey,
    mandatory: false,
    delay: 0,
    properties: {},
    body: new Uint8Array(size),
  };
}

const TOPIC = new AccessRefusedError(
  "access to topic 'secret' in exchange 'x' refused for user 'u'",
);
const EXCHANGE = new AccessRefusedError("access to exchange 'x' refused");

Deno.test("a refused key is known for a minute, and no other one", () => {
  const time = { now: 0 };
  const refused = new RefusedPublishes(clockAt(time));
  assertEquals(refused.isEmpty, true);
  refused.add(message("x", "secret"), TOPIC);
  assertEquals(refused.has(message("x", "secret")), true);
  assertEquals(refused.has(message("x", "open")), false);
  assertEquals(refused.has(message("y", "secret")), false);
  time.now = 60_000;
  assertEquals(refused.has(message("x", "secret")), false);
  assertEquals(refused.isEmpty, true);
});

Deno.test("a refused exchange is known by any key, until one is accepted", () => {
  const refused = new RefusedPublishes(clockAt({ now: 0 }));
  refused.add(message("x", "a"), EXCHANGE);
  assertEquals(refused.has(message("x", "b")), true);
  refused.forget(message("x", "b"));
  assertEquals(refused.has(message("x", "a")), false);
});

Deno.test("a body over the size that the broker named is known, a smaller one is not", () => {
  const refused = new RefusedPublishes(clockAt({ now: 0 }));
  refused.add(
    message("x", "a", 200),
    new PublishError(
      "message size 200 is larger than configured max size 100",
      {
        code: "message-too-large",
      },
    ),
  );
  assertEquals(refused.has(message("y", "b", 101)), true);
  assertEquals(refused.has(message("y", "b", 100)), false);
});

Deno.test("a thousand are known, the newest ones", () => {
  const refused = new RefusedPublishes(clockAt({ now: 0 }));
  for (let i = 0; i <= 1000; i++) refused.add(message("x", `${i}`), TOPIC);
  assertEquals(refused.has(message("x", "0")), false);
  assertEquals(refused.has(message("x", "1")), true);
  assertEquals(refused.has(message("x", "1000")), true);
});
