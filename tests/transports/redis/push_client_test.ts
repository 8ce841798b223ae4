/** Batches as they are written to the socket. */

import { assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import {
  byteLength,
  Push,
} from "../../../transports/redis/socket/push_client.ts";
import { connectTo, test } from "../../support/redis.ts";

/** The encodings that a push is written in, and all that is written. */
function written(list: string, texts: readonly string[]) {
  const push = new Push(list);
  for (const text of texts) push.add(text, byteLength(text));
  const encodings: string[] = [];
  let all = "";
  const last = push.toWritable({
    write(text: string, encoding: string) {
      encodings.push(encoding);
      all += text;
    },
  });
  return { encodings, all: all + last };
}

Deno.test("a batch is written as Latin 1 if it is large and each character is a byte", () => {
  const large = "x".repeat(20_000);
  const cases = [
    ["list", [large, "y"], ["latin1"]],
    ["list", ["small"], []],
    ["list", [large, "größe"], []],
    ["größe", [large], []],
  ] as const;
  for (const [list, texts, encodings] of cases) {
    const parts = ["lpush", list, ...texts].map((each) =>
      `$${byteLength(each)}\r\n${each}\r\n`
    );
    assertEquals(written(list, texts), {
      encodings: [...encodings],
      all: `*${parts.length}\r\n${parts.join("")}`,
    });
  }
});

test("large batches come as they were sent, whatever letters are in them", async (server) => {
  await using connection = connectTo(server.url);
  for (const name of ["plain", "größe"]) {
    const queue = new Queue(name);
    const producer = connection.producer({ queue });
    for (const mark of ["", "€"]) {
      await producer.publish("first"); // the tables are known from now on
      const sent = Array.from({ length: 60 }, (_, i) => ({
        payload: `${i} ${"x".repeat(1000)}`,
        messageId: `${i}${i === 30 ? mark : ""}`,
      }));
      await Promise.all(
        sent.map(({ payload, messageId }) =>
          producer.publish(payload, { messageId })
        ),
      );
      const came: unknown[] = [];
      for await (const message of connection.consumer<string>(queue)) {
        await message.ack();
        const { payload, properties: { messageId } } = message;
        if (payload === "first") continue;
        if (came.push({ payload, messageId }) === sent.length) break;
      }
      assertEquals(came, sent);
    }
  }
});
