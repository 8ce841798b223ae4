import assert from "node:assert/strict";
import type { Connection, ConnectionEvent, Inbox, Queue } from "../../mod.ts";
import { createMemoryInbox } from "../../messaging/inbox/mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open } from "./stage.ts";
import { arrives, rejectsWith, until } from "./support.ts";

const WINDOW = { window: 600_000 };

/** Publishes texts, each under a message id. */
async function send(
  connection: Connection,
  queue: Queue,
  messages: readonly (readonly [text: string, messageId: string])[],
): Promise<void> {
  for (const [text, messageId] of messages) {
    await connection.send(queue, text, { messageId });
  }
}

/** Whether nothing is left in a queue, with anybody. */
async function isEmpty(connection: Connection, queue: Queue): Promise<boolean> {
  return (await connection.declare(queue)).messageCount === 0;
}

/** The events of a type, as they come until the connection is closed. */
function listen(
  connection: Connection,
  type: ConnectionEvent["type"],
): ConnectionEvent[] {
  const heard: ConnectionEvent[] = [];
  void (async () => {
    for await (const event of connection.events()) {
      if (event.type === type) heard.push(event);
    }
  })();
  return heard;
}

/** Handlers that an inbox calls once for a message. */
export const INBOXING: readonly ConformanceCase[] = [
  onStage(
    "run() with an inbox skips what it has handled, in each queue for itself",
    async ({ connection, ...stage }) => {
      const [queue, other] = [stage.queue(), stage.queue()];
      const inbox = createMemoryInbox(WINDOW);
      const events = listen(connection, "duplicate");
      await send(connection, queue, [["a", "1"], ["copy", "1"], ["b", "2"]]);
      await send(connection, other, [["c", "1"]]);
      const seen: unknown[] = [];
      const consumer = connection.consumer([queue, other]);
      const running = consumer.run(({ payload }) => void seen.push(payload), {
        inbox,
      });
      await until(
        () => consumer.health().duplicates === 1 && seen.length === 3,
        "the third message, and the duplicate",
      );
      await consumer.cancel();
      await arrives(running, "the end of run()");
      // Which of the two copies comes first is the broker's business.
      assert.equal(
        seen.filter((each) => each === "a" || each === "copy").length,
        1,
      );
      assert.deepEqual(
        seen.filter((each) => each === "b" || each === "c").toSorted(),
        ["b", "c"],
      );
      await until(() => events.length === 1, "the event");
      const { name } = queue;
      assert.deepEqual(events, [
        { type: "duplicate", queue: name, messageId: "1", key: `${name} 1` },
      ]);
      assert.ok(await isEmpty(connection, queue));
    },
  ),
  onStage(
    "an inbox tells messages apart by a key, for run(), runBatches() and route()",
    async ({ connection, ...stage }) => {
      const inboxKey = ({ headers }: { readonly headers: object }) =>
        String(Reflect.get(headers, "order"));
      const seen: unknown[] = [];
      const note = ({ payload }: { readonly payload: unknown }) =>
        void seen.push(payload);
      for (const way of ["run", "runBatches", "route"]) {
        const queue = stage.queue();
        const inbox = createMemoryInbox(WINDOW);
        for (const order of [7, 8, 7]) {
          const options = { headers: { order }, type: "order" };
          await connection.send(queue, order, options);
        }
        const consumer = connection.consumer(queue);
        const options = { inbox, inboxKey };
        const running = way === "run"
          ? consumer.run(note, options)
          : way === "route"
          ? consumer.route({ order: note }, options)
          : consumer.runBatches((all) => all.forEach(note), {
            ...options,
            size: 2,
            wait: 50,
          });
        await until(() => consumer.health().duplicates === 1, "the duplicate");
        await consumer.cancel();
        await arrives(running, `the end of ${way}()`);
        assert.deepEqual(seen.splice(0).toSorted(), [7, 8], way);
        assert.ok(await isEmpty(connection, queue));
      }
    },
  ),
  onStage(
    "a message that its handler failed for, or put back, is not taken for handled",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const inbox = createMemoryInbox(WINDOW);
      await send(connection, queue, [["fails", "1"], ["put back", "2"]]);
      const consumer = connection.consumer<string>(queue);
      const seen: string[] = [];
      const running = consumer.run(async (message) => {
        const { payload } = message;
        const isFirst = !seen.includes(payload);
        seen.push(payload);
        if (!isFirst) {
          if (seen.length === 4) void consumer.cancel();
          return;
        }
        if (payload === "fails") throw new Error("the case wants it again");
        await message.requeue();
      }, { inbox, retry: { attempts: 2, backoff: 0 } });
      await arrives(running, "the end of run()");
      assert.deepEqual(seen.toSorted(), [
        "fails",
        "fails",
        "put back",
        "put back",
      ]);
      assert.equal(consumer.health().duplicates, 0);
    },
  ),
  onStage(
    "a message that is being handled elsewhere waits, and is handled if that fails",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const inbox = createMemoryInbox(WINDOW);
      const other = open(harness);
      await send(connection, queue, [["a", "1"], ["copy", "1"]]);
      const begun: (() => void)[] = [];
      let [active, most] = [0, 0];
      const consumers = [connection, other].map((each) =>
        each.consumer(queue, { prefetch: 1 })
      );
      const asked = { count: 0 };
      const counting: Inbox = {
        handle: (...call) => {
          asked.count++;
          return inbox.handle(...call);
        },
      };
      const running = consumers.map((consumer) =>
        consumer.run(async () => {
          most = Math.max(most, ++active);
          const isFirst = begun.length === 0;
          await new Promise<void>((resolve) => begun.push(resolve));
          active--;
          if (isFirst) throw new Error("the case wants the other to do it");
        }, { inbox: counting, retry: false, onFailure: "drop" })
      );
      await until(
        () => asked.count === 2 && begun.length === 1,
        "the copy that waits",
      );
      begun[0]?.();
      await until(() => begun.length === 2, "the copy's turn");
      begun[1]?.();
      await until(() => active === 0, "the end of the copy");
      await Promise.all(consumers.map((each) => each.cancel()));
      await arrives(Promise.all(running), "the end of run()");
      assert.equal(most, 1);
      assert.ok(await isEmpty(connection, queue));
      await other.close();
    },
  ),
  onStage(
    "a message that waits for another goes back when its consumer is cancelled, or paused",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      let [calls, handled] = [0, 0];
      const inbox: Inbox = {
        handle: () => {
          calls++;
          return new Promise(() => {}); // it never answers
        },
      };
      await send(connection, queue, [["a", "1"]]);
      const consumer = connection.consumer(queue, { prefetch: 1 });
      const running = consumer.run(() => void handled++, { inbox });
      await until(() => calls === 1, "the message");
      await consumer.pause();
      await until(
        async () => (await connection.declare(queue)).messageCount === 1,
        "the message, back in its queue",
      );
      consumer.resume();
      await until(() => calls === 2, "the message again");
      await consumer.cancel();
      await arrives(running, "the end of run()");
      await until(
        async () => (await connection.declare(queue)).messageCount === 1,
        "the message, back in its queue again",
      );
      assert.equal(handled, 0);
    },
  ),
  onStage(
    "an inbox that fails is asked again, and the message waits",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const memory = createMemoryInbox(WINDOW);
      let failures = 2;
      const inbox: Inbox = {
        handle: (...call) =>
          failures-- > 0
            ? Promise.reject(new Error("the inbox is away"))
            : memory.handle(...call),
      };
      await send(connection, queue, [["a", "1"]]);
      const consumer = connection.consumer(queue);
      const errors: string[] = [];
      const attempts: number[] = [];
      await arrives(
        consumer.run(({ attempt }) => {
          attempts.push(attempt);
          void consumer.cancel();
        }, { inbox, onError: ({ message }) => void errors.push(message) }),
        "the end of run()",
      );
      assert.deepEqual(attempts, [1]);
      assert.deepEqual(errors, ["the inbox is away", "the inbox is away"]);
      assert.ok(await isEmpty(connection, queue));
    },
  ),
  onStage(
    "an inbox is refused where messages are acked before, or answered",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const inbox = createMemoryInbox(WINDOW);
      await rejectsWith(
        connection.consumer(queue, { autoAck: true }).run(() => {}, { inbox }),
        "option-invalid",
        "autoAck",
      );
      const serving = { inbox } as object;
      await rejectsWith(
        connection.consumer(queue).serve(() => 1, serving),
        "option-invalid",
        "waits for an answer",
      );
    },
  ),
];
