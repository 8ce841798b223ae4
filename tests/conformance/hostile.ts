import assert from "node:assert/strict";
import { createConnection, DecodeError, Queue } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onHarness } from "./case.ts";
import { reach } from "./reach.ts";
import { onStage, take } from "./stage.ts";
import { PATIENCE, unique } from "./support.ts";

/** Bodies on which a reader that looks at anything twice takes seconds each. */
const QUADRATIC: readonly string[] = [
  'NaN"' + '\\"'.repeat(20_000),
  '{"a": NaN, "b": "' + '\\"'.repeat(20_000),
  "NaN" + '"\\'.repeat(20_000),
  "NaN" + 'I"'.repeat(20_000),
  "1".repeat(40_000),
];

/** Messages and texts of strangers. */
export const HOSTILE: readonly ConformanceCase[] = [
  onStage(
    "a body that is hard to read is refused in no time, and the next one comes",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      const routingKey = queue.name;
      const contentType = "application/json";
      for (const body of QUADRATIC) {
        await producer.publish(body, { routingKey, contentType });
      }
      await producer.publish("next", { routingKey });
      const messages = await take(
        connection.consumer<unknown>(queue),
        QUADRATIC.length + 1,
      );
      const began = performance.now();
      for (const message of messages.slice(0, -1)) {
        assert.throws(() => message.payload, DecodeError);
        await message.reject();
      }
      assert.ok(performance.now() - began < 5000, "it took too long");
      assert.equal(messages.at(-1)?.payload, "next");
      await messages.at(-1)?.ack();
    },
  ),
  onHarness(
    "the error of a refused login shows no password, nor holds one",
    async ({ transport, url, transportOptions }) => {
      const secret = unique("secret");
      const connection = createConnection(
        url.replace(/^([^:]+:\/\/)(?:[^@/]*@)?/, `$1user:${secret}@`),
        {
          transport,
          transportOptions,
          connectTimeout: PATIENCE,
          operationTimeout: PATIENCE,
          reconnect: false,
        },
      );
      const errors: unknown[] = [];
      const listening = (async () => {
        for await (const event of connection.events()) errors.push(event);
      })();
      try {
        // Whether a broker asks for a password is its own affair.
        await connection.connect().catch((error) => errors.push(error));
        await connection.declare(
          new Queue(unique("queue"), { exclusive: true }),
        )
          .catch((error) => errors.push(error));
        assert.deepEqual(reach(errors, [secret]), []);
        assert.deepEqual(reach(connection.asUri(), [secret]), []);
      } finally {
        await connection.close();
        await listening;
      }
    },
  ),
];
