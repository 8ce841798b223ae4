import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { unique } from "../../conformance/support.ts";
import { test } from "../../support/postgres_client.ts";

/** Bytes of the bodies: none, few, as many as share a row, one more, and many. */
const SIZES = [0, 5, 4096, 4097, 100_000];

/** Of one byte a letter, of more, and of two code units. */
const TEXTS = ["plain", "Grüße", "寿司", "🍣", 'a "quote", {braces}, \\'];

test("messages that are taken together keep their order, their bytes, and texts of any letters", async (url) => {
  await using connection = createConnection(url);
  const queue = new Queue(unique("packed"), { maxPriority: 9 });
  const sent = TEXTS.flatMap((text, i) =>
    SIZES.map((size, j) => ({
      body: new Uint8Array(size).map((_, at) => (7 * at + i) % 256),
      messageId: `${text} ${i}.${j}`,
      priority: (i + j) % 3,
      expiration: j % 2 === 0 ? 3_600_000 : undefined,
      headers: { text },
    }))
  );
  const producer = connection.producer({ queue });
  await Promise.all(
    sent.map(({ body, ...options }) => producer.publish(body, options)),
  );
  const got = await connection.queue(queue).receive({ max: sent.length });
  assertEquals(
    got.map(({ body, properties }) => ({
      body,
      messageId: properties.messageId,
      priority: properties.priority,
      expiration: properties.expiration,
      headers: properties.headers,
    })),
    // Those that are alike stay as they were.
    sent.toSorted((a, b) => b.priority - a.priority),
  );
  assertEquals(
    got.map(({ deliveryCount }) => deliveryCount ?? 0).filter(Boolean),
    [],
  );
  for (const each of got) await each.ack();
  await connection.queue(queue).delete();
});
