/** The bytes that a payload is read from. */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Mailbox } from "../../../async/mailbox.ts";
import { createCodecRegistry } from "../../../codec/mod.ts";
import { Incoming } from "../../../messaging/consume/incoming.ts";
import type {
  ConsumedQueue,
  ReceivedDelivery,
} from "../../../messaging/consume/lane.ts";
import {
  type Reading,
  readPayload,
} from "../../../messaging/consume/reading.ts";
import type { Delivery } from "../../../model/message.ts";
import { Slab } from "../../../model/slab.ts";

function reading(over: Partial<Reading<unknown>> = {}): Reading<unknown> {
  return {
    codecs: createCodecRegistry(),
    accept: new Set([
      "application/json",
      "text/plain",
      "application/data",
    ]),
    maxDecompressedSize: undefined,
    check: (payload) => payload,
    slab: new Slab(),
    ...over,
  };
}

function delivery(
  contentType: string,
  body: Uint8Array<ArrayBuffer>,
  headers?: Delivery["properties"]["headers"],
): Delivery {
  const properties = { contentType, headers };
  return { body, properties, queue: "q" } as Partial<Delivery> as Delivery;
}

Deno.test("bytes are a view of the message's own copy, for a transport may use its buffer again, and texts need none", () => {
  const body = new TextEncoder().encode("1");
  const copy = body.slice();
  let copies = 0;
  const message = {
    get body() {
      copies++;
      return copy;
    },
  };
  for (const type of ["application/json", "text/plain"]) {
    const payload = readPayload(reading(), delivery(type, body), message);
    assertEquals(String(payload), "1");
  }
  assertEquals(copies, 0);
  const bytes = readPayload(
    reading(),
    delivery("application/data", body),
    message,
  );
  assert(bytes instanceof Uint8Array);
  assertStrictEquals(bytes.buffer, copy.buffer);
});

Deno.test("take() hands over at once what is there, but not what a compression has yet to be loaded for", () => {
  const isLazyCompression = (name: string) => name === "lazy";
  const codecs = new Proxy(createCodecRegistry(), {
    get(registry, key) {
      if (key === "hasLazyCompressions") return true;
      if (key === "isLazyCompression") return isLazyCompression;
      const value = Reflect.get(registry, key, registry);
      return typeof value === "function" ? value.bind(registry) : value;
    },
  });
  const mailbox = new Mailbox<ReceivedDelivery>();
  const taken: unknown[] = [];
  const source = {
    take: (each: Delivery) => void taken.push(each),
  } as Partial<ConsumedQueue> as ConsumedQueue;
  const incoming = new Incoming<unknown>(mailbox, reading({ codecs }), {
    refuse: () => Promise.resolve(),
    want: () => {},
  });
  const body = new TextEncoder().encode("1");
  const plain = delivery("application/json", body, { compression: "known" });
  const lazy = delivery("application/json", body, { compression: "lazy" });
  for (const each of [plain, lazy]) mailbox.put({ delivery: each, source });
  assert(incoming.take(false) !== undefined);
  assertEquals(incoming.take(false), undefined);
  assertEquals([taken, mailbox.size], [[plain], 1]);
});

Deno.test("a schema that takes its time is asked once for a message that take() could not hand over", async () => {
  const mailbox = new Mailbox<ReceivedDelivery>();
  const source = {
    lane: { cancelled: false },
    take: () => {},
  } as unknown as ConsumedQueue;
  let asked = 0;
  const check = (payload: unknown) => {
    asked++;
    return Promise.resolve(payload);
  };
  const incoming = new Incoming<unknown>(mailbox, reading({ check }), {
    refuse: () => Promise.resolve(),
    want: () => {},
  });
  const body = new TextEncoder().encode("1");
  mailbox.put({ delivery: delivery("application/json", body), source });
  assertEquals(incoming.take(true), undefined);
  const message = await incoming.next(true);
  assertEquals([message?.payload, asked], [1, 1]);
});
