/** A message that cannot be read, or has no room as a dead letter, is kept beside its queue, as it was. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Connection, Queue, TimeoutError } from "@dashi/mq";
import { createTransport } from "../../../transports/sqs/mod.ts";
import { isStoreTransport, type Store } from "../../../transports/store/mod.ts";
import { take } from "../../conformance/stage.ts";
import type { AwsRelay } from "../../support/aws_relay.ts";
import {
  queueUrlOf,
  remove,
  sendRaw,
  test,
  unique,
} from "../../support/sqs.ts";

/** An envelope of another program's that is broken. */
function broken(text: string): string {
  return `{"body": 5, "note": "${text}", "properties": {"delivery_info": {}, "delivery_tag": "t"}}`;
}

/** Dead-letters nowhere that one could write to: to whoever has another size, or reads JSON. */
function deadLettering(name: string, dead: Queue): Queue {
  return new Queue(name, {
    deadLetterExchange: "",
    deadLetterRoutingKey: dead.name,
  });
}

/** Rejects so many messages, and waits until they are in quarantine. */
async function quarantine(
  connection: Connection,
  queue: Queue,
  count: number,
): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  const events = connection.events()[Symbol.asyncIterator]();
  const consumer = connection.consumer(queue);
  const running = consumer.run(() => {
    throw new Error("no");
  }, { concurrency: 10, retry: false });
  while (seen.length < count) {
    const { value } = await events.next();
    if (value?.type !== "quarantined") continue;
    assertEquals([value.queue, value.count], [queue.name, seen.length + 1]);
    assert(value.error instanceof Error);
    seen.push(value.messageId);
  }
  await events.return?.();
  await consumer.cancel();
  await running;
  return seen;
}

/** The bodies of all that was sent to a queue. */
function bodiesSentTo(relay: AwsRelay, queueUrl: string): readonly unknown[] {
  return relay.of("SendMessageBatch").flatMap(({ body }) => {
    if (body.QueueUrl !== queueUrl || !Array.isArray(body.Entries)) return [];
    return body.Entries.map(({ MessageBody }) => MessageBody);
  });
}

for (const suffix of ["", ".fifo"]) {
  test(`a message that cannot be read is quarantined as it was, listed and put back: queue${suffix}`, async ({ open, relay }) => {
    const connection = open();
    const dead = new Queue(unique(suffix));
    const queue = deadLettering(unique(suffix), dead);
    await connection.declare([dead, queue]);
    const texts = Array.from({ length: 12 }, (_, i) => `text ${i}`);
    for (const [i, text] of texts.entries()) {
      const group = suffix === "" ? undefined : `g${i}`;
      await sendRaw(queue.name, broken(text), group);
    }
    // An unreadable message has no message id.
    assertEquals(
      await quarantine(connection, queue, texts.length),
      texts.map(() => undefined),
    );
    const status = await connection.declare(queue);
    assertEquals(status.messageCount, 0);
    // It can be listed again and again, by others too.
    for (const each of [connection, open()]) {
      const listed = await each.quarantine(queue).list();
      assertEquals(
        listed.map(({ body }) => new TextDecoder().decode(body)).sort(),
        texts.map(broken).sort(),
      );
      assert(listed.every(({ malformed }) => malformed !== undefined));
    }
    const beside = queue.name.replace(/\.fifo$/, "-fifo") + "-quarantine";
    assertEquals(
      [...bodiesSentTo(relay, await queueUrlOf(beside))].sort(),
      texts.map(broken).sort(),
    );
    relay.requests.length = 0;
    const [one] = await connection.quarantine(queue).list({ limit: 1 });
    assert(one !== undefined);
    assertEquals(await connection.quarantine(queue).putBack([one]), 1);
    assertEquals(await connection.quarantine(queue).putBack([one]), 0);
    assertEquals(await connection.quarantine(queue).putBack(), 11);
    assertEquals((await connection.quarantine(queue).list()).length, 0);
    assertEquals(
      [...bodiesSentTo(relay, await queueUrlOf(queue.name))].sort(),
      texts.map(broken).sort(),
    );
    if (suffix !== "") {
      const groups = relay.of("SendMessageBatch").flatMap(({ body }) =>
        Array.isArray(body.Entries)
          ? body.Entries.map(({ MessageGroupId }) => MessageGroupId)
          : []
      );
      assertEquals(new Set(groups).size, 12);
    }
    // With its queue the quarantine goes.
    const channel = await connection.channel();
    await channel.deleteQueue(queue.name);
    const gone = await queueUrlOf(beside).catch(({ name }) => name);
    assertEquals(gone, "QueueDoesNotExist");
    await channel.deleteQueue(dead.name);
  });
}

test("an envelope that is broken is quarantined when it is rejected, as it was", async ({ open }) => {
  const connection = open();
  const queue = new Queue(unique());
  await connection.declare(queue);
  await sendRaw(queue.name, btoa(broken("one")));
  assertEquals(await quarantine(connection, queue, 1), [undefined]);
  const [found] = await connection.quarantine(queue).list();
  assertEquals(new TextDecoder().decode(found?.body), broken("one"));
  assert(found?.malformed !== undefined);
  await remove(queue.name);
});

for (
  const [what, key] of [["as it was", "d"], [
    "in quarantine",
    "d-longer-than-the-other",
  ]] as const
) {
  test(`a message that is just small enough ends ${what} when it is dead-lettered`, async ({ open }) => {
    const connection = open({
      transportOptions: { maxMessageSize: 4096, base64Encoding: false },
    });
    const id = unique();
    const dead = new Queue(`${id}${key}`);
    const queue = deadLettering(`${id}q`, dead);
    const producer = connection.producer<Uint8Array>({
      declare: [dead, queue],
    });
    const options = { routingKey: queue.name, messageId: "the-same" };
    // The maximum that is taken, by halves: what lies between the two is not known yet.
    let [size, tooMuch] = [0, 4096];
    while (tooMuch - size > 1) {
      const middle = (size + tooMuch) >> 1;
      const sent = await producer.publish(new Uint8Array(middle), options)
        .then(() => true, () => false);
      if (sent) size = middle;
      else tooMuch = middle;
    }
    await connection.channel().then((channel) =>
      channel.purgeQueue(queue.name)
    );
    await producer.publish(new Uint8Array(size), options);
    if (key === "d") {
      const consumer = connection.consumer(queue);
      const running = consumer.run(() => {
        void consumer.cancel();
        throw new Error("no");
      }, { retry: false });
      await running;
      const [letter] = await take(connection.consumer<Uint8Array>(dead), 1);
      assertEquals(letter?.payload.byteLength, size);
    } else {
      assertEquals(await quarantine(connection, queue, 1), ["the-same"]);
      const [found] = await connection.quarantine(queue).list();
      assertEquals(found?.body.byteLength, size);
    }
    await remove(queue.name, dead.name);
  });
}

test("predefined queues have the quarantine that is predefined, or say which would be right, and lose nothing", async ({ open, relay }) => {
  const setUp = open();
  const [one, two] = [unique(), unique()];
  await setUp.declare([
    new Queue(one),
    new Queue(two),
    new Queue(`${one}-quarantine`),
  ]);
  for (const name of [one, two]) {
    await sendRaw(
      name,
      '{"body": 5, "properties": {"delivery_info": {}, "delivery_tag": "t"}}',
    );
  }
  const predefinedQueues = Object.fromEntries(
    await Promise.all(
      [one, two, `${one}-quarantine`].map(async (name) => [
        name,
        await queueUrlOf(name),
      ]),
    ),
  );
  const connection = open({ transportOptions: { predefinedQueues } });
  const [first] = await take(connection.consumer(one), 1);
  await first?.reject();
  assertEquals((await connection.quarantine(one).list()).length, 1);
  const [second] = await take(connection.consumer(two), 1);
  const error = await second?.reject().catch((error) => error);
  assertEquals(error.code, "unsupported");
  assert(error.message.includes(`"${two}-quarantine"`), error.message);
  assertEquals(
    relay.of("DeleteMessageBatch").map(({ body }) => body.QueueUrl),
    [predefinedQueues[one]],
  );
  await connection.close();
  await remove(one, two);
});

test("a look whose deadline has passed asks SQS nothing, and is not answered by one that was faster than a timer", async ({ open, relay }) => {
  const stores: Store[] = [];
  const sqs = createTransport();
  assert(isStoreTransport(sqs));
  const transport = sqs.wrapping((store) => {
    stores.push(store);
    return store;
  });
  const connection = open({ transport });
  const queue = new Queue(unique());
  await connection.declare(queue);
  const quarantine = stores[0]?.quarantine;
  assert(quarantine !== undefined);
  relay.requests.length = 0;
  const error = await assertRejects(
    () => quarantine.list(queue.name, 1, { deadline: performance.now() - 1 }),
    TimeoutError,
  );
  assertEquals(error.outcome, "not-sent");
  // This one is asked for later, and answered.
  assertEquals(await quarantine.list(`${queue.name}-other`, 1), []);
  const names = relay.requests.map(({ body }) => body.QueueName);
  assertEquals(names.length, 1, `asked for ${names}`);
  await remove(queue.name);
});
