/** A purge takes many requests: what is told of it where it ends half way. */

import { assertEquals, assertRejects } from "@std/assert";
import { TimeoutError } from "@dashi/mq";
import { type Clock, SYSTEM_CLOCK } from "../../../async/clock.ts";
import { createTransport } from "../../../transports/sqs/transport.ts";
import type { TransportConnection } from "../../../transports/transport.ts";
import { parseUrl } from "../../../url/mod.ts";
import type { AwsRelay } from "../../support/aws_relay.ts";
import { test, unique } from "../../support/sqs.ts";

/** A clock that can be put forward; its timers go as before, and so they are late. */
function leapingClock(): { readonly clock: Clock; leap(): void } {
  let ahead = 0;
  return {
    clock: { ...SYSTEM_CLOCK, now: () => SYSTEM_CLOCK.now() + ahead },
    leap: () => ahead = 20_000,
  };
}

function connect(
  relay: AwsRelay,
  clock: Clock,
): Promise<TransportConnection> {
  return createTransport().connect(parseUrl(relay.urlOf()), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 60_000,
    owner: unique(),
    clock,
  });
}

/** A connection, and a queue with messages. */
async function withMessages(
  relay: AwsRelay,
  clock: Clock,
  count: number,
) {
  const connection = await connect(relay, clock);
  const channel = await connection.openChannel();
  const queue = unique();
  await channel.declareQueue({
    name: queue,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  });
  for (let i = 0; i < count; i++) {
    await channel.publish({
      exchange: "",
      routingKey: queue,
      mandatory: false,
      delay: 0,
      properties: {},
      body: new Uint8Array(1),
    });
  }
  return { connection, channel, queue };
}

test("a purge whose deadline passes half way does not say that nothing was sent", async ({ relay }) => {
  const { clock, leap } = leapingClock();
  const { connection, channel, queue } = await withMessages(relay, clock, 1);
  relay.intercept = ({ action }) => {
    if (action === "DeleteMessageBatch") leap();
    return undefined;
  };
  const deadline = clock.now() + 10_000;
  const error = await assertRejects(
    () => channel.purgeQueue(queue, { deadline }),
    TimeoutError,
  );
  assertEquals(error.outcome, "unknown");
  assertEquals((await channel.checkQueue(queue)).messageCount, 0);
  await channel.deleteQueue(queue);
  await connection[Symbol.asyncDispose]();
});

test("messages that a purge has taken, and had no time to remove, are in sight at once", async ({ relay }) => {
  const { clock, leap } = leapingClock();
  const { connection, channel, queue } = await withMessages(relay, clock, 1);
  relay.intercept = ({ action }) => {
    if (action === "ReceiveMessage") leap();
    return undefined;
  };
  const deadline = clock.now() + 10_000;
  const error = await assertRejects(
    () => channel.purgeQueue(queue, { deadline }),
    TimeoutError,
  );
  assertEquals(error.outcome, "not-sent");
  assertEquals((await channel.checkQueue(queue)).messageCount, 1);
  await channel.deleteQueue(queue);
  await connection[Symbol.asyncDispose]();
});
