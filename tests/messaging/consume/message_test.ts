import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { ReceivedMessage } from "../../../messaging/consume/message.ts";
import { ChannelError } from "../../../model/errors.ts";
import { withChannels } from "../../support/changed_channels.ts";

Deno.test("a failure that the broker is to count rejects where it refuses, and the message is ours still", async () => {
  const asked: unknown[] = [];
  const transport = withChannels((channel) => {
    channel.reject = (_, { requeue, failed }) => {
      asked.push([requeue, failed]);
      return Promise.reject(
        new ChannelError("busy", { code: "channel-closed" }),
      );
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  await connection.send(new Queue("q"), 1);
  const message = await connection.queue("q").get();
  assert(message instanceof ReceivedMessage);
  await assertRejects(
    () => message.failedHere(2, new Error("the handler's")),
    ChannelError,
    "busy",
  );
  assertEquals([asked, message.settled], [[[true, true]], false]);
});

Deno.test("a message whose settlement failed counts among those in hand until another succeeds", async () => {
  let refuses = true;
  const transport = withChannels((channel) => {
    const ack = channel.ack.bind(channel);
    channel.ack = (...given) => {
      if (!refuses) return ack(...given);
      return Promise.reject(
        new ChannelError("busy", { code: "channel-closed" }),
      );
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  const queue = new Queue("q");
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue);
  const { value: message } = await consumer[Symbol.asyncIterator]().next();
  assert(message !== undefined);
  const inFlight = () => consumer.health().inFlight;
  assertEquals(inFlight(), 1);
  await assertRejects(() => message.ack(), ChannelError, "busy");
  assertEquals([inFlight(), message.settled], [1, false]);
  refuses = false;
  await message.ack();
  assertEquals([inFlight(), message.settled], [0, true]);
});

Deno.test("whether the broker counts failures is as the delivery says", async () => {
  for (const countsFailures of [true, false, undefined]) {
    const transport = withChannels((channel) => {
      const get = channel.get.bind(channel);
      channel.get = async (...given) => {
        const delivery = await get(...given);
        if (delivery === undefined) return undefined;
        return Object.defineProperty(delivery, "countsFailures", {
          value: countsFailures,
        });
      };
    });
    const url = `memory://${crypto.randomUUID()}`;
    await using connection = createConnection(url, { transport });
    await connection.send(new Queue("q"), 1);
    const message = await connection.queue("q").get();
    assert(message instanceof ReceivedMessage);
    assertEquals(message.countsFailures, countsFailures === true);
    await message.ack();
  }
});
