import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { test } from "../../support/amqp.ts";

const PROGRAM =
  new URL("../../support/ack_then_die.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;

test("an acked message does not come again, though its process is killed right after", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = new Queue(`dashi-acked-${crypto.randomUUID()}`, {
    expires: 60_000,
  });
  const producer = connection.producer<number>({ declare: [queue] });
  for (const number of [1, 2, 3]) {
    await producer.publish(number, { routingKey: queue.name });
    const { signal } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--config",
        CONFIG,
        PROGRAM,
        url,
        queue.name,
      ],
      stdout: "null",
      stderr: "null",
    }).output();
    assertEquals(signal, "SIGKILL");
  }
  // Behind all that the broker would give back: it is the first that comes.
  await producer.publish(4, { routingKey: queue.name });
  for await (const message of connection.consumer<number>(queue)) {
    // It may come for the second time itself: the broker may not have noticed yet that
    // the last process is gone.
    assertEquals(message.payload, 4);
    await message.ack();
    break;
  }
});
