/** Answers that come by a channel, on a broker in the process that has it as RabbitMQ does. */

import { assertEquals, assertRejects } from "@std/assert";
import { createConnection, NotFoundError, Queue } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import type { Link } from "../../../messaging/connection/topology_channel.ts";
import { DirectLane } from "../../../messaging/reply/direct_lane.ts";
import type { Channel } from "../../../transports/transport.ts";
import { withChannels } from "../../support/changed_channels.ts";

/** A transport with direct replies as RabbitMQ has them: a name stands for the channel that consumes by it. */
function direct() {
  const told = {
    lanes: new Array<Channel>(),
    replyQueues: 0,
    exchanges: new Array<string>(),
  };
  const transport = withChannels((channel) => {
    const name = `direct-${crypto.randomUUID()}`;
    const { consume, declareQueue, publish } = channel;
    channel.declareQueue = (queue, call) => {
      if (queue.name.startsWith("dashi.reply.")) told.replyQueues++;
      return declareQueue.call(channel, queue, call);
    };
    channel.consume = async (queue, ...rest) => {
      if (queue !== DIRECT) return await consume.call(channel, queue, ...rest);
      const declaration = { durable: false, exclusive: true, autoDelete: true };
      await declareQueue.call(channel, { name, arguments: {}, ...declaration });
      told.lanes.push(channel);
      return await consume.call(channel, name, ...rest);
    };
    channel.publish = ({ properties, ...message }, call) => {
      told.exchanges.push(message.exchange);
      const replyTo = properties.replyTo === DIRECT ? name : properties.replyTo;
      return publish.call(channel, {
        ...message,
        properties: { ...properties, replyTo },
      }, call);
    };
  }, DIRECT);
  return { told, transport };
}

const DIRECT = "the-channel";

Deno.test("answers that come by a channel need no queue, and one channel is enough", async () => {
  const { told, transport } = direct();
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  const queue = new Queue("asked");
  await connection.declare(queue);
  const consumer = connection.consumer(queue);
  const served = consumer.serve(({ payload }) => payload);
  for (const n of [1, 2]) {
    assertEquals(await connection.request(n, { routingKey: queue.name }), n);
  }
  await consumer.cancel();
  await served;
  assertEquals([told.lanes.length, told.replyQueues], [1, 0]);
});

Deno.test("a request through an exchange that is not there is refused before it is sent: it would end the channel, with all answers under way", async () => {
  const { told, transport } = direct();
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  for (let i = 0; i < 2; i++) {
    await assertRejects(
      () => connection.request(1, { exchange: "none", routingKey: "k" }),
      NotFoundError,
      '"none"',
    );
  }
  assertEquals([told.lanes.length, told.exchanges], [1, []]);
});

Deno.test("a request is asked again, under its id, when the channel that its answer would come by is lost", async () => {
  const { told, transport } = direct();
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await using asking = createConnection(url, { transport });
  const queue = new Queue("asked-again");
  await connection.declare(queue);
  const ids: (string | undefined)[] = [];
  const goOn = Promise.withResolvers<void>();
  const consumer = connection.consumer(queue);
  const served = consumer.serve(async ({ properties }) => {
    if (ids.push(properties.correlationId) > 1) return "again";
    // The answer to this one finds nobody.
    await told.lanes[0]?.[Symbol.asyncDispose]();
    await goOn.promise;
  }, { concurrency: 2 });
  const answer = await asking.request(1, { routingKey: queue.name });
  goOn.resolve();
  assertEquals([answer, told.lanes.length], ["again", 2]);
  assertEquals([ids.length, ids[0]], [2, ids[1]]);
  await consumer.cancel();
  await served;
  assertEquals(connection.health().requests.undeliveredReplies, 1);
});

Deno.test("a lane has ended when its channel has", async () => {
  const ended = Promise.withResolvers<void>();
  const channel = {
    consume: () => Promise.resolve({ ended: new Promise(() => {}) }),
    [Symbol.asyncDispose]: () => ended.promise,
  };
  const link = {
    connection: { openChannel: () => Promise.resolve(channel) },
  } as unknown as Link;
  const lane = await DirectLane.open(
    link,
    DIRECT,
    { deadline: Infinity, signal: undefined },
    () => {},
    () => {},
  );
  let isClosed = false;
  const closing = lane.close().then(() => isClosed = true);
  await turn();
  assertEquals(isClosed, false);
  ended.resolve();
  await closing;
});
