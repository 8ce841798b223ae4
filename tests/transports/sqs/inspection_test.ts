import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { queueUrlOf, test, unique, url } from "../../support/sqs.ts";

/** The names of the listed queues. */
async function namesOf(connection: Connection): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of connection.inspect().queues()) names.push(name);
  return names.toSorted();
}

test("inspect() lists the queues of a prefix, by the names that a connection knows", async () => {
  const prefix = `${unique()}-`;
  const at = `${url}&queue_name_prefix=${prefix}`;
  await using connection = createConnection(at);
  await using other = createConnection(at);
  const queues = [new Queue("a.b"), new Queue("in-order.fifo")];
  await connection.declare(queues);
  try {
    // A dot is a hyphen at AWS, and one queue is one.
    assertEquals(await namesOf(connection), ["a.b", "in-order.fifo"]);
    assertEquals(await namesOf(other), ["a-b", "in-order.fifo"]);
    const info = await other.inspect().queue("a.b");
    assertEquals(info.name, "a.b");
    assertEquals(info.unacked, 0);
  } finally {
    for (const queue of queues) await connection.delete(queue);
  }
  assertEquals(await namesOf(other), []);
});

test("inspect() lists predefined queues, and no others", async () => {
  const queue = new Queue(unique());
  await using connection = createConnection(url);
  await connection.declare(queue);
  try {
    const known = await queueUrlOf(queue.name);
    await using other = createConnection(url, {
      transportOptions: { predefinedQueues: { mine: known } },
    });
    assertEquals(await namesOf(other), ["mine"]);
    assertEquals((await other.inspect().queue("mine")).ready, 0);
    assert((await namesOf(connection)).includes(queue.name));
  } finally {
    await connection.delete(queue);
  }
});
