import assert from "node:assert/strict";
import type { Connection, FieldTable, Message, Queue } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, type Stage } from "./stage.ts";
import { arrives } from "./support.ts";

const HEADERS: FieldTable = {
  text: "as it was",
  list: [1, [2]],
  table: { deep: { text: "as it was" } },
  bytes: Uint8Array.of(1, 2, 3),
};

/** The fields of a message at its end, as it was published with them. */
interface Seen {
  readonly headers: FieldTable;
  readonly body: readonly number[];
  readonly messageId: string | undefined;
}

function see({ headers, body, properties }: Message<unknown>): Seen {
  const { text, list, table, bytes, added } = headers;
  return structuredClone({
    headers: {
      text,
      list,
      table,
      // Of whatever kind of array: what they are is what counts.
      bytes: bytes instanceof Uint8Array ? [...bytes] : bytes,
      ...(added === undefined ? {} : { added }),
    },
    body: [...body],
    messageId: properties.messageId,
  });
}

/** Changes all that can be changed, as JavaScript lets who does not look at types. */
function spoil(message: Message<unknown>): void {
  const { headers, properties, body, payload } = message;
  set(headers, "text", "changed");
  set(headers, "added", "changed");
  set(headers["list"], "1", "changed");
  const { table } = headers;
  if (typeof table === "object" && table !== null && "deep" in table) {
    set(table.deep, "text", "changed");
  }
  if (headers["bytes"] instanceof Uint8Array) headers["bytes"].fill(9);
  set(properties, "messageId", "changed");
  body.fill(0);
  if (payload instanceof Uint8Array) payload.fill(0);
}

function set(target: unknown, name: string, value: unknown): void {
  assert.ok(typeof target === "object" && target !== null);
  Reflect.set(target, name, value);
}

const FIRST: Seen = {
  headers: {
    text: "as it was",
    list: [1, [2]],
    table: { deep: { text: "as it was" } },
    bytes: [1, 2, 3],
  },
  body: [1, 2, 3, 4],
  messageId: "as it was",
};

async function publishFirst(
  connection: Connection,
  queue: Queue,
): Promise<void> {
  const producer = connection.producer<Uint8Array>({
    routingKey: queue.name,
    declare: [queue],
  });
  await producer.publish(Uint8Array.of(1, 2, 3, 4), {
    headers: HEADERS,
    messageId: "as it was",
  });
}

/** Changes that a consumer makes to a message stay in its own copy. */
async function keeps(stage: Stage, delay: number): Promise<void> {
  const { connection } = stage;
  const exchange = stage.exchange();
  const dead = stage.queue({ exchange, routingKey: "dead" });
  const queue = stage.queue({
    deadLetterExchange: exchange,
    deadLetterRoutingKey: "dead",
  });
  await connection.declare(dead);
  await publishFirst(connection, queue);
  const seen: Seen[] = [];
  const consumer = connection.consumer<Uint8Array>(queue);
  const running = consumer.run((message) => {
    seen.push(see(message));
    spoil(message);
    throw new Error("bad luck");
  }, { retry: { attempts: 2, backoff: delay } });
  const burying = connection.consumer<Uint8Array>(dead);
  const { value: letter } = await arrives(
    burying[Symbol.asyncIterator]().next(),
    "the dead letter",
  );
  assert.ok(letter !== undefined);
  seen.push(see(letter));
  await letter.ack();
  assert.deepEqual(seen, [FIRST, FIRST, FIRST]);
  await consumer.close();
  await burying.close();
  await arrives(running, "the end of the handlers");
}

/** Changes that a handler makes to a message go nowhere: a retry and a dead letter carry the message as it came. */
export const UNCHANGED: readonly ConformanceCase[] = [
  onStage(
    "a handler's changes of its message show neither in the next attempt nor in the dead letter",
    (stage) => keeps(stage, 0),
    { needs: ["dead-letter"] },
  ),
  onStage(
    "a handler's changes of its message do not show in the attempt that waits",
    (stage) => keeps(stage, 1000),
    { needs: ["dead-letter", "delay"] },
  ),
  onStage(
    "a consumer's changes of a message do not show when it is given back",
    async (stage) => {
      const { connection } = stage;
      const queue = stage.queue();
      await publishFirst(connection, queue);
      const seen: Seen[] = [];
      for await (const message of connection.consumer<Uint8Array>(queue)) {
        seen.push(see(message));
        spoil(message);
        if (seen.length === 2) {
          await message.ack();
          break;
        }
        await message.requeue();
      }
      assert.deepEqual(seen, [FIRST, FIRST]);
    },
  ),
];
