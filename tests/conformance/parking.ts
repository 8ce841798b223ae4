import assert from "node:assert/strict";
import {
  type ConnectionEvent,
  DecodeError,
  type Message,
  type Queue,
  type RunOptions,
} from "../../mod.ts";
import type { Delivery, QueueDeclaration } from "../../transports/transport.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { Broker } from "./broker.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { deathOf } from "./deaths.ts";
import { onStage, type Stage, take } from "./stage.ts";
import {
  appears,
  arrives,
  bytes,
  rejectsWith,
  soon,
  textOf,
} from "./support.ts";

const WHY = { "x-error-name": "Error", "x-error-message": "bad luck" };

/** Puts a message into a queue, takes it and parks it. */
async function park(
  broker: Broker,
  declared: QueueDeclaration,
  text: string,
): Promise<Delivery> {
  await broker.put(declared.name, text, {
    messageId: "m1",
    headers: { kept: "yes" },
  });
  const delivery = await broker.getSoon(declared.name);
  const parked = await broker.channel.park(delivery.deliveryTag, {
    headers: WHY,
    declared,
    ...soon(),
  });
  assert.equal(parked.type, "parked");
  await rejectsWith(
    broker.channel.ack(delivery.deliveryTag, soon()),
    "message-settled",
  );
  return delivery;
}

/** Expects the message that was parked, and settles it. */
async function expectParked(
  broker: Broker,
  queue: string,
  from: string,
  text: string,
): Promise<void> {
  const letter = await broker.getSoon(queue);
  assert.equal(textOf(letter), text);
  const { headers = {}, messageId } = letter.properties;
  assert.equal(messageId, "m1");
  assert.equal(headers["kept"], "yes");
  assert.equal(headers["x-error-message"], "bad luck");
  assert.equal(headers["x-first-death-queue"], from);
  const death = deathOf(headers);
  assert.deepEqual(
    [death["queue"], death["reason"], death["exchange"]],
    [from, "rejected", ""],
  );
  await broker.channel.ack(letter.deliveryTag, soon());
}

/** The error that a handler throws, and its secret that no header may show. */
const NAMED = new RangeError(
  `bad\u001b[2J luck at amqp://me:hunter22@host/ ${"x".repeat(3000)}`,
);

/** Runs a handler until so many events of a type have come, and returns these. */
async function runUntil<E extends ConnectionEvent["type"]>(
  { connection }: Stage,
  queue: Queue,
  type: E,
  handler: (message: Message<unknown>) => void,
  options: RunOptions = {},
  count = 1,
): Promise<Extract<ConnectionEvent, { readonly type: E }>[]> {
  const found: Extract<ConnectionEvent, { readonly type: E }>[] = [];
  const events = connection.events()[Symbol.asyncIterator]();
  const consumer = connection.consumer(queue);
  const running = consumer.run(handler, options);
  while (found.length < count) {
    const { value } = await arrives(events.next(), `${count} events ${type}`);
    if (isOf(value, type)) found.push(value);
  }
  await consumer.cancel();
  await arrives(running, "the end of run()");
  return found;
}

function isOf<E extends ConnectionEvent["type"]>(
  event: ConnectionEvent | undefined,
  type: E,
): event is Extract<ConnectionEvent, { readonly type: E }> {
  return event?.type === type;
}

function fail(): never {
  throw NAMED;
}

/** A message that failed for good is kept in a queue where somebody finds it. */
export const PARKING: readonly ConformanceCase[] = [
  onBroker(
    "park() puts a message that failed into the dead letters of its queue, with what it failed for",
    async (broker) => {
      const dead = await broker.queue();
      const queue = broker.queueOf({
        arguments: {
          "x-dead-letter-exchange": "",
          "x-dead-letter-routing-key": dead,
        },
      });
      await broker.channel.declareQueue(queue, soon());
      await park(broker, queue, "bad");
      await expectParked(broker, dead, queue.name, "bad");
      assert.equal(await broker.count(queue.name), 0);
    },
    { needs: ["dead-letter"] },
  ),
  onBroker(
    "park() puts it into a queue that is made for it where its own dead-letters nowhere, again if somebody has deleted that",
    async (broker) => {
      const queue = broker.queueOf();
      await broker.channel.declareQueue(queue, soon());
      const failed = failedQueue(queue.name);
      broker.removes([failed], []);
      for (const text of ["bad 1", "bad 2"]) {
        await park(broker, queue, text);
        await expectParked(broker, failed, queue.name, text);
        await broker.channel.deleteQueue(failed, soon());
      }
      assert.equal(await broker.count(queue.name), 0);
    },
  ),
  onBroker(
    "park() loses nothing where the dead letters of its queue lead nowhere",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      for (const name of [exchange, `${exchange}.none`]) {
        const queue = broker.queueOf({
          arguments: { "x-dead-letter-exchange": name },
        });
        await broker.channel.declareQueue(queue, soon());
        const failed = failedQueue(queue.name);
        broker.removes([failed], []);
        await park(broker, queue, "bad");
        await expectParked(broker, failed, queue.name, "bad");
      }
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "run() without a policy tries a message again, which tells what it failed with",
    async (stage) => {
      const { connection } = stage;
      const queue = stage.queue();
      await connection.send(queue, "again");
      const seen: Message<unknown>[] = [];
      const consumer = connection.consumer(queue);
      const running = consumer.run((message) => {
        seen.push(message);
        if (message.attempt === 1) throw NAMED;
        void consumer.cancel();
      });
      await arrives(running, "the end of run()");
      const [first, second, ...others] = seen;
      assert.deepEqual([first?.attempt, second?.attempt], [1, 2]);
      assert.deepEqual(others, []);
      const { headers = {} } = second ?? {};
      assert.equal(headers["x-error-name"], "RangeError");
      const said = String(headers["x-error-message"]);
      assert.ok(
        said.startsWith("bad\\u001b[2J luck at amqp://me:**@host/ x"),
        said,
      );
      assert.ok(new TextEncoder().encode(said).length <= 1024);
      const at = new Date(String(headers["x-error-at"])).getTime();
      assert.ok(Math.abs(Date.now() - at) < 600_000, `${at}`);
      assert.equal(
        (await connection.queue(queue.name).status()).messageCount,
        0,
      );
    },
  ),
  onStage(
    "a message that its handler fails for is parked, and put back by redrive() it begins anew",
    async (stage) => {
      const { connection } = stage;
      const queue = stage.queue();
      const { name: failed } = stage.queue({}, failedQueue(queue.name));
      await connection.send(queue, { id: 1 }, {
        messageId: "m1",
        headers: { kept: "yes" },
      });
      const [told] = await runUntil(stage, queue, "parked", fail, {
        retry: { attempts: 2, backoff: 0 },
      });
      assert.deepEqual({ ...told }, {
        type: "parked",
        queue: queue.name,
        to: { kind: "queue", name: failed },
        messageId: "m1",
        error: NAMED,
        attempts: 2,
      });
      const letters = connection.queue(failed);
      const letter = await appears(() => letters.get(), "the parked message");
      assert.deepEqual(letter.payload, { id: 1 });
      assert.equal(letter.attempt, 2);
      assert.equal(letter.headers["x-error-name"], "RangeError");
      const [death] = letter.deaths;
      assert.deepEqual(
        [death?.queue, death?.reason, death?.routingKeys],
        [queue.name, "rejected", [queue.name]],
      );
      await letter.requeue();
      assert.deepEqual(await connection.redrive(failed), { moved: 1, kept: 0 });
      const [back] = await take(connection.consumer(queue), 1);
      assert.deepEqual(
        [back?.payload, back?.headers, back?.attempt, back?.deaths],
        [{ id: 1 }, { kept: "yes" }, 1, []],
      );
      await back?.ack();
    },
  ),
  onStage(
    "the queues that a message names in CC get it once, whatever becomes of it in another",
    async (stage) => {
      const { connection } = stage;
      const [queue, other] = [stage.queue(), stage.queue()];
      const { name: failed } = stage.queue({}, failedQueue(queue.name));
      await connection.declare(other);
      await connection.send(queue, "copied", { headers: { CC: [other.name] } });
      await runUntil(stage, queue, "parked", fail, {
        retry: { attempts: 2, backoff: 20 },
      });
      assert.deepEqual(await connection.redrive(failed), { moved: 1, kept: 0 });
      for (const each of [queue, other]) {
        const [message] = await take(connection.consumer(each), 1);
        assert.equal(message?.payload, "copied");
        await message?.ack();
      }
      const { messageCount } = await connection.queue(other.name).status();
      assert.equal(messageCount, 0);
    },
  ),
  onStage(
    "a message that cannot be decoded is parked at once, its bytes unchanged",
    async (stage) => {
      const { connection } = stage;
      const queue = stage.queue();
      const { name: failed } = stage.queue({}, failedQueue(queue.name));
      const body = bytes('{"half":');
      await connection.send(queue, body, { contentType: "application/json" });
      let calls = 0;
      await runUntil(stage, queue, "parked", ({ payload }) => {
        calls++;
        assert.fail(`it was read: ${payload}`);
      });
      assert.equal(calls, 0);
      const [letter] = await take(connection.consumer(failed), 1);
      assert.deepEqual(letter?.body, body);
      assert.equal(letter?.contentType, "application/json");
      assert.equal(letter?.headers["x-error-name"], "DecodeError");
      await letter?.ack();
    },
  ),
  onStage(
    "a message that its schema refuses is parked without an attempt",
    async (stage) => {
      const { connection } = stage;
      const queue = stage.queue({
        schema: () => {
          throw NAMED;
        },
      });
      const { name: failed } = stage.queue({}, failedQueue(queue.name));
      await connection.declare(queue);
      await connection.send(queue.name, 1);
      const [told] = await runUntil(
        stage,
        queue,
        "parked",
        () => assert.fail("it was handed over"),
      );
      assert.equal(told?.attempts, 0);
      assert.match(told.error.message, /which its schema refuses: /);
      assert.ok(told.error instanceof DecodeError);
      const [letter] = await take(connection.consumer(failed), 1);
      assert.equal(letter?.payload, 1);
      await letter.ack();
    },
  ),
  onStage(
    "onFailure: a message that is dropped is told of, and one that is requeued comes round",
    async (stage) => {
      const { connection } = stage;
      const queue = stage.queue();
      await connection.send(queue, 1, { messageId: "m1" });
      const dropping: RunOptions = { retry: false, onFailure: "drop" };
      const [told] = await runUntil(stage, queue, "dropped", fail, dropping);
      assert.deepEqual(
        [told?.queue, told?.messageId, told?.error],
        [queue.name, "m1", NAMED],
      );
      const status = await connection.queue(queue.name).status();
      assert.equal(status.messageCount, 0);
      await connection.send(queue, 2);
      let calls = 0;
      const consumer = connection.consumer(queue);
      const running = consumer.run(() => {
        if (++calls === 1) throw NAMED;
        void consumer.cancel();
      }, { retry: false, onFailure: "requeue" });
      await arrives(running, "the end of run()");
      assert.equal(calls, 2);
    },
  ),
  onStage(
    "onFailure: a message that is rejected goes where its queue dead-letters, as the broker does it, and is told of",
    async (stage) => {
      const { connection } = stage;
      const dead = stage.queue();
      const queue = stage.queue({ deadLetter: dead });
      await connection.send(queue, 1, { messageId: "m1" });
      const options: RunOptions = { retry: false, onFailure: "reject" };
      const [told] = await runUntil(stage, queue, "rejected", fail, options);
      assert.deepEqual(
        [told?.queue, told?.messageId, told?.error],
        [queue.name, "m1", NAMED],
      );
      const [letter] = await take(connection.consumer(dead), 1);
      assert.deepEqual(
        letter?.deaths.map(({ queue, reason }) => [queue, reason]),
        [[queue.name, "rejected"]],
      );
      assert.equal(letter?.headers["x-error-name"], undefined);
      await letter?.ack();
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "a dead letter that finds no queue is gone, and told of",
    async (stage) => {
      const { connection } = stage;
      const exchange = stage.exchange({ type: "direct" });
      const queue = stage.queue({ deadLetterExchange: exchange });
      await connection.send(queue, 1, { messageId: "m1" });
      const [told] = await runUntil(stage, queue, "dropped", (message) => {
        void message.reject();
      });
      assert.deepEqual([told?.queue, told?.messageId], [queue.name, "m1"]);
      assert.match(told?.error.message ?? "", /no queue is bound/);
    },
    { needs: ["dead-letter"], wraps: true },
  ),
];
