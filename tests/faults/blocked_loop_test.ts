import { assert, assertEquals } from "@std/assert";
import { type ConnectionEvent, createConnection, Queue } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { onEach } from "../support/targets.ts";
import { block } from "../support/standing_loop.ts";

/** ms; a server that does not hear for two of these of a connection ends it. */
const HEARTBEAT = 1000;
const BLOCKED = 3500;
const COUNT = 8;

onEach(
  "a handler that blocks the event loop costs no message an attempt, and is told of (row 2.12)",
  async (url, { name }) => {
    const queue = new Queue<number>(`blocked-${crypto.randomUUID()}`);
    const connection = createConnection(url, {
      transport: name,
      heartbeat: HEARTBEAT,
      reconnect: { initialDelay: 10, maxDelay: 100 },
    });
    const events: ConnectionEvent[] = [];
    const told = (async () => {
      for await (const event of connection.events()) events.push(event);
    })();
    for (let i = 0; i < COUNT; i++) await connection.send(queue, i);
    const handled = new Set<number>();
    const attempts = new Set<number>();
    let isBlocked = false;
    let health = connection.health();
    const consumer = connection.consumer(queue);
    const running = consumer.run(async ({ payload, attempt }) => {
      attempts.add(attempt);
      if (payload === 2 && !isBlocked) {
        isBlocked = true;
        block(BLOCKED);
        health = connection.health();
      }
      // Innocent ones are at work meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 10));
      handled.add(payload);
    }, { concurrency: 4, retry: { attempts: 2, backoff: 0 } });
    await until(() => handled.size === COUNT, "all messages");
    // A redelivered message is handled again.
    await until(
      async () => (await connection.declare(queue)).messageCount === 0,
      "an empty queue",
    );
    await consumer.close({ drainTimeout: 10_000 });
    await running;
    assertEquals([...attempts], [1]);
    const { live, ready, reason = "" } = health;
    assertEquals([live, ready], [false, false]);
    assert(reason.includes("event loop of this process was"), reason);
    const blocked = events.find(({ type }) => type === "event-loop-blocked");
    assert(blocked?.type === "event-loop-blocked");
    assert(blocked.duration >= HEARTBEAT, `${blocked.duration}`);
    for (const event of events) {
      assert(event.type !== "parked" && event.type !== "dropped");
      if (event.type !== "lost") continue;
      const { message } = event.error;
      assert(message.includes("event loop of this process was"), message);
    }
    await connection.queue(queue.name).delete();
    await connection.close();
    await told;
  },
);
