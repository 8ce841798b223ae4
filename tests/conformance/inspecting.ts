import assert from "node:assert/strict";
import type { Connection, QueueInfo } from "../../mod.ts";
import { binding } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { appears, arrives, asTheyCome, rejectsWith, until } from "./support.ts";

/** Far enough for a case that does not wait for it, ms. */
const LATER = 600_000;

/** What a connection tells of these queues, by their names. */
async function infosOf(
  connection: Connection,
  ...names: readonly string[]
): Promise<readonly (QueueInfo | undefined)[]> {
  const found = new Map<string, QueueInfo>();
  await arrives(
    (async () => {
      for await (const each of connection.inspect().queues()) {
        assert.ok(!found.has(each.name), `"${each.name}" is listed once`);
        found.set(each.name, each);
      }
    })(),
    "the end of the list of queues",
  );
  return names.map((name) => found.get(name));
}

/** Says whether numbers are these, where the broker tells them. */
function tells(
  info: QueueInfo | undefined,
  wanted: Partial<QueueInfo> & { readonly ready: number },
): boolean {
  if (info?.ready === undefined) return false;
  return (Object.keys(wanted) as (keyof QueueInfo)[]).every((name) =>
    info[name] === undefined || info[name] === wanted[name]
  );
}

/** The messages that are ready in a queue, as they are seen. */
async function peekedIn(
  connection: Connection,
  queue: string,
  max: number,
): Promise<readonly unknown[]> {
  const found = await connection.queue(queue).peek({ max });
  return found.map(({ payload }) => payload);
}

/** To look into a broker shows what is there, and changes nothing. */
export const INSPECTING: readonly ConformanceCase[] = [
  onStage(
    "inspect() lists the queues of other connections, with what is ready, delayed, unacked, and who consumes",
    async ({ connection, ...stage }, harness) => {
      const full = stage.queue();
      const empty = stage.queue();
      await connection.declare([full, empty]);
      for (const payload of [1, 2, 3]) await connection.send(full, payload);
      const handle = connection.queue(full.name);
      const taken = await appears(() => handle.get(), "a message");
      const other = open(harness);
      let seen: readonly (QueueInfo | undefined)[] = [];
      await until(async () => {
        seen = await infosOf(other, full.name, empty.name);
        return tells(seen[0], { ready: 2, unacked: 1, consumers: 0 }) &&
          (tells(seen[1], { ready: 0, delayed: 0, unacked: 0 }) ||
            // Where nobody is told of a misspelt queue, one that is empty may not be there.
            (seen[1] === undefined && !other.capabilities.has("known-queues")));
      }, "the numbers of the queues");
      for (const each of seen) {
        if (each === undefined) continue;
        assert.ok((each.oldestAge ?? 0) >= 0 && (each.oldestAge ?? 0) < 600);
        if (each.declaration === undefined) continue;
        assert.equal(each.declaration.name, each.name);
        assert.equal(each.declaration.durable, true);
      }
      assert.ok((seen[0]?.bytes ?? 1) > 0);
      await until(
        async () =>
          tells(await other.inspect().queue(full), { ready: 2, unacked: 1 }),
        "the numbers of one queue",
      );
      await taken.ack();
      await until(
        async () =>
          tells(await other.inspect().queue(full.name), {
            ready: 2,
            unacked: 0,
          }),
        "the numbers after an ack",
      );
      await other.close();
    },
    { needs: ["inspect"] },
  ),
  onStage(
    "inspect() counts delayed messages apart from those that are ready",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.send(queue, 1);
      await connection.send(queue, 2, { delay: 60_000 });
      const other = open(harness);
      await until(async () => {
        const info = await other.inspect().queue(queue.name);
        return tells(info, { ready: 1, delayed: 1 });
      }, "one of each");
      await other.close();
    },
    { needs: ["inspect"] },
  ),
  onStage(
    "inspect() counts the consumers of all connections, and says how a queue was declared",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue({ arguments: { "x-message-ttl": 600_000 } });
      await connection.declare(queue);
      const consumers = [
        connection.consumer(queue),
        connection.consumer(queue),
      ];
      const loops = consumers.map((each) => each[Symbol.asyncIterator]());
      const waiting = loops.map((each) => each.next());
      const other = open(harness);
      let info: QueueInfo | undefined;
      await until(async () => {
        info = await other.inspect().queue(queue.name);
        return info.consumers === 2;
      }, "two consumers");
      assert.deepEqual({ ...info?.declaration }, {
        name: queue.name,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: { "x-message-ttl": 600_000 },
      });
      for (const each of consumers) await each.cancel();
      await Promise.all(waiting);
      await other.close();
    },
    { needs: ["inspect", "shared-topology", "message-ttl"] },
  ),
  onStage(
    "inspect() lists exchanges and bindings that another connection has declared",
    async ({ connection, ...stage }, harness) => {
      const topics = stage.exchange({ type: "topic" });
      const all = stage.exchange({
        type: "fanout",
        bindings: [binding(topics, "all.#")],
      });
      const queue = stage.queue({
        bindings: [binding(topics, "a.*"), binding(all)],
      });
      await connection.declare(queue);
      const other = open(harness);
      const exchanges = await other.inspect().exchanges();
      const types = [topics, all].map(({ name }) =>
        exchanges.filter((each) => each.name === name).map(({ type }) => type)
      );
      assert.deepEqual(types, [["topic"], ["fanout"]]);
      assert.ok(exchanges.every(({ name }) => name !== ""));
      const ours = [topics.name, all.name];
      const found = (await other.inspect().bindings())
        .filter(({ source }) => ours.includes(source))
        .map(({ source, destination: { kind, name }, routingKey }) =>
          [source, kind, name, routingKey].join(" ")
        );
      assert.deepEqual(
        found.toSorted(),
        [
          `${topics.name} queue ${queue.name} a.*`,
          `${all.name} queue ${queue.name} `,
          `${topics.name} exchange ${all.name} all.#`,
        ].toSorted(),
      );
      await other.close();
    },
    { needs: ["inspect", "shared-topology", "exchange-to-exchange"] },
  ),
  onStage(
    "inspect() tells of the queues, exchanges and bindings that the connection has declared",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "topic" });
      const queue = stage.queue({ bindings: [binding(exchange, "a.#")] });
      const gone = stage.queue();
      await connection.declare([queue, gone]);
      await connection.send(queue, 1);
      await connection.delete(gone);
      await until(async () => {
        const [info, none] = await infosOf(connection, queue.name, gone.name);
        return none === undefined && tells(info, { ready: 1 });
      }, "the queue's number");
      const exchanges = await connection.inspect().exchanges();
      assert.deepEqual(
        exchanges.filter(({ name }) => name === exchange.name)
          .map(({ type }) => type),
        ["topic"],
      );
      const bindings = await connection.inspect().bindings();
      assert.deepEqual(
        bindings.filter(({ source }) => source === exchange.name)
          .map(({ destination, routingKey }) => [destination, routingKey]),
        [[{ kind: "queue", name: queue.name }, "a.#"]],
      );
    },
  ),
  onStage(
    "peek() shows the ready messages whose turn comes first, and leaves them",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const payloads = ["a", "b", "c"];
      for (const payload of payloads) {
        await connection.send(queue, payload, {
          headers: { kept: payload },
          messageId: payload,
        });
      }
      if (connection.capabilities.has("delay")) {
        await connection.send(queue, "later", { delay: LATER });
      }
      const other = open(harness);
      // A broker that shows none without handing it out has it back a moment later.
      let seen: readonly unknown[] = [];
      await until(async () => {
        seen = await peekedIn(other, queue.name, 10);
        return seen.length === 3;
      }, "three messages");
      assert.deepEqual(asTheyCome(seen, harness), payloads);
      await until(
        async () => (await peekedIn(other, queue.name, 1)).length === 1,
        "the first one",
      );
      await until(
        async () => (await other.queueStatus(queue.name)).messageCount === 3,
        "three messages that are ready",
      );
      const messages = await take(connection.consumer<string>(queue), 3);
      for (const { payload, headers, properties } of messages) {
        assert.equal(headers.kept, payload);
        assert.equal(properties.messageId, payload);
      }
      assert.deepEqual(
        asTheyCome(messages.map(({ payload }) => payload), harness),
        payloads,
      );
      for (const message of messages) await message.ack();
      assert.deepEqual(await other.queue(queue.name).peek(), []);
      await other.close();
    },
  ),
  onStage(
    "a message that was peeked at has its properties, and is not settled; one that went back shows that",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.send(queue, { n: 1 }, {
        headers: { h: 1 },
        messageId: "m",
        type: "t",
      });
      const handle = connection.queue<{ n: number }>(queue.name);
      const message = await appears(
        async () => (await handle.peek({ max: 1 })).at(0),
        "the message",
      );
      assert.deepEqual(message.payload, { n: 1 });
      assert.equal(message.properties.messageId, "m");
      assert.equal(message.properties.type, "t");
      assert.equal(message.headers.h, 1);
      assert.equal(message.deliveryInfo.queue, queue.name);
      assert.equal(message.settled, false);
      assert.equal(message.signal.aborted, false);
      if (!message.taken) assert.equal(message.deliveryInfo.redelivered, false);
      for (
        const settled of [message.ack(), message.reject(), message.requeue()]
      ) await rejectsWith(settled, "message-settled", queue.name, "peek()");
      const [taken] = await take(connection.consumer(queue), 1);
      // To have been shown counts as a delivery only where it says so.
      if (!message.taken) assert.equal(taken?.deliveryInfo.redelivered, false);
      await taken?.requeue();
      const again = await appears(
        async () => (await handle.peek({ max: 1 })).at(0),
        "the message that went back",
      );
      assert.equal(again.deliveryInfo.redelivered, true);
    },
  ),
  onStage(
    "peek() and inspect() of a queue that is not there say so",
    async ({ connection }) => {
      const name = `dashi-nobody-${crypto.randomUUID()}`;
      await rejectsWith(connection.queue(name).peek(), "not-found", name);
      await rejectsWith(connection.inspect().queue(name), "not-found", name);
    },
    { needs: ["known-queues"] },
  ),
  onStage(
    "peek() shows a message of higher priority first",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue({ maxPriority: 9 });
      await connection.declare(queue);
      for (
        const [payload, priority] of [["low", 1], ["later", 1], [
          "high",
          9,
        ]] as const
      ) await connection.send(queue, payload, { priority });
      let seen: readonly unknown[] = [];
      await until(async () => {
        seen = await peekedIn(connection, queue.name, 10);
        return seen.length === 3;
      }, "all");
      assert.deepEqual(asTheyCome(seen, harness), ["high", "low", "later"]);
      // No more than it is asked for, wherever they lie.
      await until(async () => {
        seen = await peekedIn(connection, queue.name, 2);
        assert.ok(seen.length <= 2, `${seen.length} of 2`);
        return seen.length === 2;
      }, "two of them");
    },
    { needs: ["priority"], ordered: true },
  ),
  onStage(
    "peek() and inspect() look into an ordered queue",
    async ({ connection, ...stage }) => {
      const queue = stage.queue({ ordered: true });
      await connection.declare(queue);
      for (const payload of ["a1", "a2", "b1"]) {
        await connection.send(queue, payload, { key: payload.slice(0, 1) });
      }
      await until(async () => {
        const seen = await peekedIn(connection, queue.name, 3);
        const info = await connection.inspect().queue(queue.name);
        return seen.length === 3 && tells(info, { ready: 3 }) &&
          seen.indexOf("a1") < seen.indexOf("a2");
      }, "three messages");
    },
    { needs: ["inspect", "key-order", "key-fairness"] },
  ),
  onStage(
    "peek() refuses options that it does not know, and numbers that are none",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const handle = connection.queue(queue.name);
      const wrong: object = { limit: 1 };
      await assert.rejects(handle.peek(wrong), /"limit".*"max"/);
      for (const max of [0, 1.5, 1001, NaN]) {
        await assert.rejects(handle.peek({ max }), RangeError);
      }
    },
  ),
];
