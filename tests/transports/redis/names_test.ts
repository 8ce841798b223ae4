/** Names on Redis that mean something else, and fanout exchanges that change. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { AccessRefusedError, NotFoundError } from "../../../model/errors.ts";
import { Raw, test } from "../../support/redis.ts";
import {
  bindingOf,
  CONSUME,
  exchangeOf,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";

test("keys that are no queues cannot be used as queues", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.declareQueue(queueOf("q"));
  for (
    const name of [
      "unacked",
      "unacked_index",
      "unacked_mutex",
      "dashi.topology",
      "dashi.topology.changes",
      "dashi.due",
      "dashi.expiring",
      "dashi.owners",
      "dashi.claimed.q",
      "dashi.delayed.q",
      "dashi.malformed.q",
      "dashi.ordered.ring.q",
      "dashi.pieces.q",
      "dashi.rate.1.q.",
      "_kombu.binding.ex",
      "_kombu.binding_permanent.ex",
    ]
  ) {
    for (
      const act of [
        () => channel.publish(messageTo("", name)),
        () => channel.declareQueue(queueOf(name)),
        () => channel.deleteQueue(name),
        () => channel.get(name),
        () => channel.consume(name, () => {}, CONSUME),
      ]
    ) await assertRejects(act, AccessRefusedError, `"${name}"`);
  }
  await channel.publish(messageTo("", "q"));
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  await channel.ack(delivery.deliveryTag);
  assertEquals(await raw.number("EXISTS", "unacked"), 0);
});

test("a routing key that contains the separator leads to its queue", async (server) => {
  const options = { separator: ":" };
  await using one = await openTransport(server.url, options);
  await using two = await openTransport(server.url, options);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  for (const type of ["direct", "topic"] as const) {
    await mine.declareExchange(exchangeOf(type, type));
    await mine.declareQueue(queueOf(`${type}-q`));
    await mine.bind(bindingOf(type, `${type}-q`, "a:b"));
    for (const channel of [mine, theirs]) {
      const outcome = await channel.publish({
        ...messageTo(type, "a:b"),
        mandatory: true,
      });
      assertEquals(outcome.type, "accepted");
    }
    assertEquals((await mine.checkQueue(`${type}-q`)).messageCount, 2);
    await theirs.unbind(bindingOf(type, `${type}-q`, "a:b"));
    const { type: outcome } = await mine.publish({
      ...messageTo(type, "a:b"),
      mandatory: true,
    });
    assertEquals(outcome, "returned");
  }
});

test("a fanout exchange that was published to leads to what is bound to it since", async (server) => {
  await using one = await openTransport(server.url);
  await using two = await openTransport(server.url);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  await theirs.declareExchange(exchangeOf("all", "fanout"));
  await mine.publish(messageTo("all", ""));
  await theirs.declareExchange(exchangeOf("audit"));
  await theirs.declareQueue(queueOf("q"));
  await theirs.bind(bindingOf("audit", "q", ""));
  await theirs.bind({
    source: "all",
    destination: { kind: "exchange", name: "audit" },
    routingKey: "",
    arguments: {},
  });
  await mine.publish(messageTo("all", ""));
  assertEquals((await theirs.checkQueue("q")).messageCount, 1);
  await theirs.deleteExchange("all");
  await assertRejects(() => mine.publish(messageTo("all", "")), NotFoundError);
});
