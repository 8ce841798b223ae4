/** Ways: exchanges of every type, and priorities. */

import { assertEquals } from "@std/assert";
import { binding, type Exchange, type Queue } from "@dashi/mq";
import { until } from "../brokers/server.ts";
import { type InteropCase, spec, specOf, type Stage, take } from "./stage.ts";

const KEYS = ["usd.nyse", "usd.nyse.x", "eur.nyse", "usd", "eur.lse"];
const ALL = "#";

/** Queues with a binding each, and which of the keys come to them. */
function topic(stage: Stage, exchange: Exchange) {
  const bound = (routingKey: string) => stage.queue({ exchange, routingKey });
  return [
    [bound("usd.*"), ["usd.nyse"]],
    [bound("*.nyse"), ["usd.nyse", "eur.nyse"]],
    [bound(ALL), KEYS],
    [bound("eur.lse"), ["eur.lse"]],
  ] as const;
}

async function theySee(
  stage: Stage,
  queue: Queue,
  count: number,
): Promise<readonly unknown[]> {
  const messages = await stage.peer.receive(spec(queue), count);
  return stage.inOrder(messages.map(({ payload }) => payload));
}

async function weSee(
  stage: Stage,
  queue: Queue,
  count: number,
): Promise<readonly unknown[]> {
  const messages = await take(stage.connection, queue, count);
  return stage.inOrder(messages.map(({ payload }) => payload));
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const ints = (values: readonly number[]) =>
  values.map((each) => ({ $int: String(each) }));

/** The lines of the table about ways. */
export const ROUTE_CASES: readonly InteropCase[] = [
  {
    name: "messages that we publish to a queue come to Kombu, in order",
    run: async (stage) => {
      const queue = stage.queue();
      const producer = stage.connection.producer({ declare: [queue] });
      await Promise.all(
        numbers(100).map((i) =>
          producer.publish(i, { routingKey: queue.name })
        ),
      );
      const seen = await theySee(stage, queue, 100);
      assertEquals(seen, stage.inOrder(ints(numbers(100))));
    },
  },
  {
    name: "messages that Kombu publishes to a queue come to us, in order",
    run: async (stage) => {
      const queue = stage.queue();
      await stage.peer.publish({
        times: 100,
        routing_key: queue.name,
        declare: [spec(queue)],
      });
      const seen = await weSee(stage, queue, 100);
      assertEquals(seen, stage.inOrder(numbers(100)));
    },
  },
  {
    name:
      "direct: messages that we publish come to the queues of their key, in order",
    needs: "bindings",
    run: async (stage) => {
      const exchange = stage.exchange("direct");
      const a = stage.queue({
        bindings: [binding(exchange, "a"), binding(exchange, "both")],
      });
      const b = stage.queue({
        bindings: [binding(exchange, "b"), binding(exchange, "both")],
      });
      await stage.peer.declare(spec(a), spec(b));
      const producer = stage.connection.producer({
        exchange,
        declare: [a, b],
      });
      await Promise.all(
        numbers(100).map((i) => producer.publish(i, { routingKey: "a" })),
      );
      await producer.publish(100, { routingKey: "both" });
      await producer.publish(101, { routingKey: "neither" });
      assertEquals(await theySee(stage, a, 101), ints(numbers(101)));
      assertEquals(await theySee(stage, b, 1), ints([100]));
      assertEquals(await stage.peer.get(spec(b)), undefined);
    },
  },
  {
    name:
      "direct: messages that Kombu publishes come to the queues of their key, in order",
    needs: "bindings",
    run: async (stage) => {
      const exchange = stage.exchange("direct");
      const a = stage.queue({
        bindings: [binding(exchange, "a"), binding(exchange, "both")],
      });
      const b = stage.queue({
        bindings: [binding(exchange, "b"), binding(exchange, "both")],
      });
      await stage.connection.declare([a, b]);
      const publish = (routing_key: string, options = {}) =>
        stage.peer.publish({
          exchange: specOf(exchange),
          routing_key,
          ...options,
        });
      await publish("a", { times: 100 });
      await publish("both", { body: 100 });
      await publish("neither", { body: 101 });
      const messages = await take(stage.connection, a, 101);
      assertEquals(messages.map(({ payload }) => payload), numbers(101));
      assertEquals(
        [
          messages[0]?.deliveryInfo.exchange,
          messages[0]?.deliveryInfo.routingKey,
        ],
        [exchange.name, "a"],
      );
      const status = await stage.connection.declare(b);
      assertEquals(status.messageCount, 1);
      assertEquals(await weSee(stage, b, 1), [100]);
    },
  },
  {
    name: "messages that Kombu publishes in a batch come in order",
    needs: "batch",
    run: async (stage) => {
      const exchange = stage.exchange("topic");
      const queue = stage.queue({ exchange, routingKey: ALL });
      await stage.connection.declare(queue);
      await stage.peer.publish({
        exchange: specOf(exchange),
        routing_key: "a.b",
        times: 250,
        batch: true,
      });
      assertEquals(await weSee(stage, queue, 250), numbers(250));
    },
  },
  {
    name: "topic: messages that we publish come by our bindings and by Kombu's",
    needs: "bindings",
    run: async (stage) => {
      const exchange = stage.exchange("topic");
      const theirs = topic(stage, exchange);
      const ours = topic(stage, exchange);
      await stage.peer.declare(...theirs.map(([queue]) => spec(queue)));
      const producer = stage.connection.producer({
        exchange,
        declare: ours.map(([queue]) => queue),
      });
      for (const key of KEYS) await producer.publish(key, { routingKey: key });
      for (const [queue, keys] of [...ours, ...theirs]) {
        assertEquals(await theySee(stage, queue, keys.length), keys);
        assertEquals(await stage.peer.get(spec(queue)), undefined);
      }
    },
  },
  {
    name:
      "topic: messages that Kombu publishes come by our bindings and by Kombu's",
    needs: "bindings",
    run: async (stage) => {
      const exchange = stage.exchange("topic");
      const theirs = topic(stage, exchange);
      const ours = topic(stage, exchange);
      await stage.connection.declare(ours.map(([queue]) => queue));
      await stage.peer.declare(...theirs.map(([queue]) => spec(queue)));
      for (const key of KEYS) {
        await stage.peer.publish({
          body: key,
          exchange: specOf(exchange),
          routing_key: key,
        });
      }
      for (const [queue, keys] of [...ours, ...theirs]) {
        assertEquals(await weSee(stage, queue, keys.length), keys);
        const status = await stage.connection.declare(queue);
        assertEquals(status.messageCount, 0);
      }
    },
  },
  {
    name: "fanout: messages that we publish come to all of Kombu's consumers",
    needs: "fanout",
    run: async (stage) => {
      const { connection, peer } = stage;
      const exchange = stage.exchange("fanout");
      const queues = [stage.queue({ exchange }), stage.queue({ exchange })];
      for (const queue of queues) await peer.consume(queue.name, [spec(queue)]);
      const producer = connection.producer({ exchange });
      await producer.publish("all", {});
      for (const { name } of queues) {
        const [message] = await peer.take(name, 1);
        assertEquals(message?.payload, "all");
        await peer.cancel(name);
      }
    },
  },
  {
    name: "fanout: messages that Kombu publishes come to all of our consumers",
    needs: "fanout from Kombu",
    run: async (stage) => {
      const { connection, peer } = stage;
      const exchange = stage.exchange("fanout");
      const consumers = [stage.queue({ exchange }), stage.queue({ exchange })]
        .map((queue) => connection.consumer<string>(queue));
      const next = consumers.map((each) => each[Symbol.asyncIterator]().next());
      await until(
        "our consumers",
        30_000,
        () => Promise.resolve(consumers.every((each) => each.health().healthy)),
      );
      await peer.publish({ body: "all", exchange: specOf(exchange) });
      for (const { value } of await Promise.all(next)) {
        assertEquals(value?.payload, "all");
        await value?.ack();
      }
      for (const consumer of consumers) await consumer[Symbol.asyncDispose]();
    },
  },
  {
    name:
      "fanout: messages that Kombu publishes come once to consumers that share a queue",
    needs: "fanout from Kombu",
    run: async (stage) => {
      const exchange = stage.exchange("fanout");
      const shared = stage.queue({ exchange });
      const connections = [stage.connect(), stage.connect()];
      const seen: number[] = [];
      const consumers = connections.map((each) =>
        each.consumer<number>(shared)
      );
      const running = consumers.map((each) =>
        each.run(({ payload }) => void seen.push(payload))
      );
      await until(
        "our consumers",
        30_000,
        () => Promise.resolve(consumers.every((each) => each.health().healthy)),
      );
      await stage.peer.publish({ times: 50, exchange: specOf(exchange) });
      await until(
        "50 messages",
        30_000,
        () => Promise.resolve(seen.length >= 50),
      );
      for (const connection of connections) await connection.close();
      await Promise.all(running);
      assertEquals(seen.sort((a, b) => a - b), numbers(50));
      const [status] = await stage.connection.declare([shared]);
      assertEquals(status?.messageCount, 0);
    },
  },
  {
    name: "headers: both sides route by them",
    needs: "headers",
    run: async (stage) => {
      const exchange = stage.exchange("headers");
      const bound = (bindingArguments: Record<string, string>) =>
        stage.queue({ exchange, bindingArguments });
      const ours = bound({ "x-match": "all", a: "1", b: "2" });
      const theirs = bound({ "x-match": "any", a: "1", b: "2" });
      await stage.connection.declare(ours);
      await stage.peer.declare(spec(theirs));
      const producer = stage.connection.producer({ exchange });
      await producer.publish("one", { headers: { a: "1" } });
      await producer.publish("two", { headers: { a: "1", b: "2" } });
      for (const headers of [{ b: "2" }, { a: "1", b: "2" }]) {
        await stage.peer.publish({
          body: Object.keys(headers).length,
          exchange: specOf(exchange),
          headers,
        });
      }
      assertEquals(await theySee(stage, ours, 2), ["two", { $int: "2" }]);
      assertEquals(await weSee(stage, theirs, 4), ["one", "two", 1, 2]);
    },
  },
  {
    name: "priority: the same messages in the same order on both sides",
    needs: "priority",
    run: async (stage) => {
      const queue = stage.queue({ maxPriority: 9 });
      const given = [3, 0, 9, 6, 0, 9];
      const { highestFirst } = stage.meeting;
      const expected = given.map((priority, i) => [priority, i] as const)
        .sort(([a, i], [b, j]) => (highestFirst ? b - a : a - b) || i - j)
        .map(([, i]) => i);
      const producer = stage.connection.producer({ declare: [queue] });
      for (const [i, priority] of given.entries()) {
        await producer.publish(i, { routingKey: queue.name, priority });
      }
      assertEquals(await theySee(stage, queue, 6), ints(expected));
      for (const [i, priority] of given.entries()) {
        await stage.peer.publish({
          body: { $int: String(i) },
          routing_key: queue.name,
          declare: [spec(queue)],
          priority,
        });
      }
      assertEquals(await weSee(stage, queue, 6), expected);
    },
  },
  {
    name: "a simple queue is Kombu's SimpleQueue",
    run: async (stage) => {
      const { name } = stage.queue();
      const queue = stage.connection.simpleQueue<string>(name);
      await queue.put("ours");
      assertEquals((await stage.peer.simpleGet(name)).payload, "ours");
      await stage.peer.simplePut(name, "theirs");
      const message = await queue.get();
      assertEquals(message?.payload, "theirs");
      await message?.ack();
      await (await stage.connection.channel()).deleteExchange(name);
    },
  },
  {
    name: "a queue that Kombu deletes gets nothing more of ours",
    needs: "bindings",
    run: async (stage) => {
      const exchange = stage.exchange("direct");
      const gone = stage.queue({ exchange, routingKey: "k" });
      const stays = stage.queue({ exchange, routingKey: "k" });
      await stage.peer.declare(spec(gone));
      const producer = stage.connection.producer({
        exchange,
        declare: [stays],
      });
      await producer.publish(1, { routingKey: "k" });
      await stage.peer.delete(spec(gone));
      await producer.publish(2, { routingKey: "k" });
      assertEquals(await weSee(stage, stays, 2), [1, 2]);
      // Declared again, it is a new one.
      await stage.peer.declare(spec(gone));
      assertEquals(await stage.peer.get(spec(gone)), undefined);
    },
  },
];
