import assert from "node:assert/strict";
import type { FieldTable } from "../../transports/transport.ts";
import { asTheyCome, bindingOf, soon, textOf } from "./support.ts";
import { type ConformanceCase, onBroker } from "./case.ts";

/** Patterns, keys that match, keys that do not. As RabbitMQ has it. */
const TOPICS:
  readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["#", ["", "a", "a.b"], []],
    ["*", ["a"], ["", "a.b"]],
    ["a.*", ["a.b", "a."], ["a", "a.b.c"]],
    ["a.#", ["a", "a.b", "a.b.c"], ["b"]],
    ["#.a", ["a", "b.a"], ["a.b"]],
    ["a.#.c", ["a.c", "a.b.c", "a.x.y.c"], ["a.b"]],
    ["#.b.#", ["b", "a.b", "a.b.c"], ["a.c"]],
    ["*.stock.#", ["usd.stock", "eur.stock.db"], ["stock", "stock.nasdaq"]],
    ["a*b", ["a*b"], ["axb"]],
    ["", [""], ["a"]],
  ];

/** Headers bindings, headers that match, headers that do not. */
const HEADERS: readonly (readonly [
  FieldTable,
  readonly FieldTable[],
  readonly FieldTable[],
])[] = [
  [{ "x-match": "all", a: 1, b: "x" }, [{ a: 1, b: "x", c: 2 }], [{ a: 1 }, {
    a: 1,
    b: "y",
  }]],
  [{ "x-match": "any", a: 1, b: "x" }, [{ a: 1 }, { b: "x", a: 2 }], [{
    a: 2,
  }, {}]],
  [{ a: true }, [{ a: true }], [{ a: false }, { a: "true" }]],
  [{ a: null }, [{ a: "anything" }, { a: 7 }], [{ b: 1 }]],
  [{ "x-match": "all", "x-ignored": 1, a: "k" }, [{ a: "k" }], [{
    "x-ignored": 1,
  }]],
  [{}, [{}, { a: 1 }], []],
];

/** The routing of messages. */
export const ROUTING: readonly ConformanceCase[] = [
  onBroker(
    "publish() to the default exchange goes to the queue of that name",
    async (broker) => {
      const [one, two] = [await broker.queue(), await broker.queue()];
      await broker.publish("", one, "hello");
      assert.deepEqual(await broker.drain(one), ["hello"]);
      assert.equal(await broker.count(two), 0);
    },
  ),
  onBroker("a direct exchange compares keys", async (broker) => {
    const exchange = await broker.exchange("direct");
    const [one, two] = [await broker.queue(), await broker.queue()];
    await broker.bind(one, exchange, "a");
    await broker.bind(two, exchange, "a");
    await broker.bind(two, exchange, "b");
    for (const key of ["a", "b", "c", "a.b", ""]) {
      await broker.publish(exchange, key, key);
    }
    assert.deepEqual(await broker.drain(one), ["a"]);
    assert.deepEqual(await broker.drain(two), ["a", "b"]);
  }),
  onBroker("a topic exchange matches words", async (broker) => {
    const exchange = await broker.exchange("topic");
    for (const [pattern, matching, others] of TOPICS) {
      const queue = await broker.queue();
      await broker.bind(queue, exchange, pattern);
      await Promise.all(
        [...matching, ...others].map((key) =>
          broker.publish(exchange, key, key)
        ),
      );
      assert.deepEqual(
        (await broker.drain(queue)).sort(),
        [...matching].sort(),
        `of pattern "${pattern}"`,
      );
      await broker.channel.deleteQueue(queue, soon());
    }
  }),
  onBroker(
    "a fanout exchange reaches every bound queue, whatever the key",
    async (broker) => {
      const exchange = await broker.exchange("fanout");
      const queues = await Promise.all([1, 2, 3].map(() => broker.queue()));
      for (const queue of queues) await broker.bind(queue, exchange, "ignored");
      await broker.publish(exchange, "any", "news");
      for (const queue of queues) {
        assert.deepEqual(await broker.drain(queue), ["news"]);
      }
    },
    { needs: ["queued-fanout"] },
  ),
  onBroker("a fanout exchange reaches every consumer", async (broker) => {
    const exchange = await broker.exchange("fanout");
    const queues = [await broker.queue(), await broker.queue()];
    const collectors = [];
    for (const queue of queues) {
      await broker.bind(queue, exchange, "ignored");
      collectors.push(await broker.consume(queue));
    }
    await broker.publish(exchange, "any", "news");
    for (const collector of collectors) {
      assert.equal(textOf(await collector.next()), "news");
    }
  }),
  onBroker(
    "a headers exchange compares headers, all or any",
    async (broker) => {
      const exchange = await broker.exchange("headers");
      for (const [arguments_, matching, others] of HEADERS) {
        const queue = await broker.queue();
        await broker.bind(queue, exchange, "", arguments_);
        await Promise.all(
          [...matching, ...others].map((headers) =>
            broker.publish(exchange, "", JSON.stringify(headers), {
              properties: { headers },
            })
          ),
        );
        assert.deepEqual(
          (await broker.drain(queue)).sort(),
          matching.map((each) => JSON.stringify(each)).sort(),
          `of ${JSON.stringify(arguments_)}`,
        );
        await broker.channel.deleteQueue(queue, soon());
      }
    },
  ),
  onBroker(
    "a message comes once to a queue that matches by several bindings",
    async (broker) => {
      const exchange = await broker.exchange("topic");
      const queue = await broker.queue();
      for (const pattern of ["#", "a.*", "a.b"]) {
        await broker.bind(queue, exchange, pattern);
      }
      await broker.publish(exchange, "a.b", "once");
      assert.deepEqual(await broker.drain(queue), ["once"]);
    },
  ),
  onBroker(
    "an unmatched message goes nowhere, and is no error",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      const queue = await broker.queue();
      await broker.bind(queue, exchange, "a");
      const outcome = await broker.publish(exchange, "b", "lost");
      assert.equal(outcome.type, "accepted");
      assert.equal(await broker.count(queue), 0);
    },
  ),
  onBroker("messages pass from exchange to exchange", async (broker) => {
    const [first, second] = [
      await broker.exchange("topic"),
      await broker.exchange("direct"),
    ];
    const queue = await broker.queue();
    await broker.channel.bind(
      bindingOf("exchange", second, first, "a.#"),
      soon(),
    );
    await broker.bind(queue, second, "a.b");
    await broker.publish(first, "a.b", "through");
    await broker.publish(first, "b", "not");
    assert.deepEqual(await broker.drain(queue), ["through"]);
    await broker.channel.unbind(
      bindingOf("exchange", second, first, "a.#"),
      soon(),
    );
    await broker.publish(first, "a.b", "no more");
    assert.equal(await broker.count(queue), 0);
  }, { needs: ["exchange-to-exchange"] }),
  onBroker("exchanges bound in a circle deliver once", async (broker) => {
    const [one, two] = [
      await broker.exchange("topic"),
      await broker.exchange("topic"),
    ];
    const queue = await broker.queue();
    await broker.channel.bind(bindingOf("exchange", two, one, "#"), soon());
    await broker.channel.bind(bindingOf("exchange", one, two, "#"), soon());
    await broker.bind(queue, one, "#");
    await broker.bind(queue, two, "#");
    await broker.publish(one, "a", "once");
    assert.deepEqual(await broker.drain(queue), ["once"]);
  }, { needs: ["exchange-to-exchange"] }),
  onBroker("an alternate exchange takes what has no match", async (broker) => {
    const other = await broker.exchange("topic");
    const exchange = await broker.exchange("direct", {
      arguments: { "alternate-exchange": other },
    });
    const [queue, rest] = [await broker.queue(), await broker.queue()];
    await broker.bind(queue, exchange, "a");
    await broker.bind(rest, other, "#");
    await broker.publish(exchange, "a", "matched");
    const outcome = await broker.publish(exchange, "b", "unmatched", {
      mandatory: true,
    });
    assert.equal(outcome.type, "accepted");
    assert.deepEqual(await broker.drain(queue), ["matched"]);
    assert.deepEqual(await broker.drain(rest), ["unmatched"]);
  }),
  onBroker(
    "the header CC adds keys; BCC does, and is not delivered",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      const queues = await Promise.all(["a", "b", "c"].map(async (key) => {
        const queue = await broker.queue();
        await broker.bind(queue, exchange, key);
        return queue;
      }));
      await broker.publish(exchange, "a", "all", {
        properties: { headers: { CC: ["b"], BCC: ["c"] } },
      });
      for (const queue of queues) {
        const delivery = await broker.getSoon(queue);
        assert.deepEqual(delivery.properties.headers?.CC, ["b"]);
        assert.equal(delivery.properties.headers?.BCC, undefined);
      }
    },
  ),
  onBroker(
    "CC alone and BCC alone add keys to one by which messages were routed before",
    async (broker, harness) => {
      const exchange = await broker.exchange("direct");
      const queues = await Promise.all(["a", "b"].map(async (key) => {
        const queue = await broker.queue();
        await broker.bind(queue, exchange, key);
        return queue;
      }));
      for (const name of ["none", "other", "CC", "BCC"]) {
        const headers = name === "none" ? {} : { [name]: ["b"] };
        await broker.publish(exchange, "a", name, { properties: { headers } });
      }
      const wanted = [["none", "other", "CC", "BCC"], ["CC", "BCC"]];
      for (const [i, texts] of wanted.entries()) {
        const queue = queues[i] ?? "";
        const got: string[] = [];
        for (const _ of texts) {
          got.push(textOf(await broker.getSoon(queue)) ?? "");
        }
        assert.deepEqual(asTheyCome(got, harness), asTheyCome(texts, harness));
        assert.equal(await broker.channel.get(queue, soon()), undefined);
      }
    },
  ),
  onBroker(
    "queues that CC and BCC add are reached while others declare",
    async (broker) => {
      const exchange = await broker.exchange("direct");
      const queues = await Promise.all(["a", "b", "c"].map(async (key) => {
        const queue = await broker.queue();
        await broker.bind(queue, exchange, key);
        return queue;
      }));
      const { channel } = await broker.openElsewhere();
      for (let i = 0; i < 10; i++) {
        await Promise.all([
          broker.publish(exchange, "a", String(i), {
            properties: { headers: { CC: ["b"], BCC: ["c"] } },
          }),
          channel.declareQueue(broker.queueOf(), soon()),
          channel.declareQueue(broker.queueOf(), soon()),
        ]);
      }
      for (const queue of queues) {
        for (let i = 0; i < 10; i++) {
          const { properties } = await broker.getSoon(queue);
          assert.deepEqual(properties.headers?.CC, ["b"]);
          assert.equal(properties.headers?.BCC, undefined);
        }
      }
    },
  ),
  onBroker(
    "20 queues with 100 messages each get their own alone",
    async (broker, harness) => {
      const exchange = await broker.exchange("direct");
      const queues = await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const queue = await broker.queue();
          await broker.bind(queue, exchange, `k${i}`);
          return queue;
        }),
      );
      const texts = Array.from({ length: 100 }, (_, i) => String(i));
      await Promise.all(
        queues.flatMap((_, i) =>
          texts.map((text) => broker.publish(exchange, `k${i}`, `${i}:${text}`))
        ),
      );
      for (const [i, queue] of queues.entries()) {
        const collector = await broker.consume(queue, { noAck: true });
        const deliveries = await collector.take(100);
        assert.deepEqual(
          asTheyCome(deliveries.map(textOf), harness),
          asTheyCome(texts.map((text) => `${i}:${text}`), harness),
        );
      }
    },
  ),
];
