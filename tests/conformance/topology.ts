import assert from "node:assert/strict";
import {
  bindingOf,
  bytes,
  publishing,
  rejectsWith,
  soon,
  textOf,
  unique,
  until,
} from "./support.ts";
import { type ConformanceCase, onBroker } from "./case.ts";

/** Declaring, looking, binding, deleting. */
export const TOPOLOGY: readonly ConformanceCase[] = [
  onBroker("declareQueue() twice is declaring once", async (broker) => {
    const queue = broker.queueOf();
    await broker.channel.declareQueue(queue, soon());
    await broker.put(queue.name, "kept");
    const again = await broker.channel.declareQueue(queue, soon());
    assert.deepEqual([again.name, again.messageCount], [queue.name, 1]);
  }),
  onBroker(
    "declareQueue() with other settings is precondition-failed, and other channels live on",
    async (broker) => {
      const queue = broker.queueOf();
      await broker.channel.declareQueue(queue, soon());
      const other = await broker.openChannel();
      await rejectsWith(
        other.declareQueue({ ...queue, durable: false }, soon()),
        "precondition-failed",
        queue.name,
        "durable",
      );
      await broker.put(queue.name, "alive");
      assert.equal(textOf(await broker.get(queue.name)), "alive");
    },
  ),
  onBroker(
    "declareQueue() with another argument is precondition-failed",
    async (broker) => {
      const queue = broker.queueOf({ arguments: { "x-message-ttl": 60_000 } });
      await broker.channel.declareQueue(queue, soon());
      const other = await broker.openChannel();
      await rejectsWith(
        other.declareQueue(
          { ...queue, arguments: { "x-message-ttl": 50_000 } },
          soon(),
        ),
        "precondition-failed",
        "x-message-ttl",
      );
    },
    { needs: ["message-ttl"] },
  ),
  onBroker(
    "declareQueue() without a name gets one from the broker",
    async (broker) => {
      const declared = { ...broker.queueOf(), name: "", exclusive: true };
      const { name } = await broker.channel.declareQueue(declared, soon());
      const second = await broker.channel.declareQueue(declared, soon());
      assert.notEqual(name, "");
      assert.notEqual(name, second.name);
      await broker.put(name, "found");
      assert.equal(textOf(await broker.get(name)), "found");
    },
    { needs: ["exclusive"] },
  ),
  onBroker(
    "deleteQueue() deletes a queue that another connection declared",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["1", "2"]) await broker.put(queue, text);
      const { channel } = await broker.openElsewhere();
      await rejectsWith(
        channel.deleteQueue(queue, { ifEmpty: true, ...soon() }),
        "precondition-failed",
      );
      const another = await broker.openElsewhere();
      assert.equal(await another.channel.deleteQueue(queue, soon()), 2);
      const last = await broker.openElsewhere();
      await last.channel.declareQueue(
        { ...broker.queueOf(), name: queue },
        soon(),
      );
      assert.equal(await last.channel.get(queue, soon()), undefined);
    },
  ),
  onBroker(
    "declareQueue() refuses names of the broker's own",
    async (broker) => {
      await rejectsWith(
        broker.channel.declareQueue(
          { ...broker.queueOf(), name: `amq.${unique("queue")}` },
          soon(),
        ),
        "access-refused",
      );
    },
    { needs: ["known-queues"] },
  ),
  onBroker("checkQueue() of a missing queue is not-found", async (broker) => {
    const name = unique("missing");
    const channel = await broker.openChannel();
    await rejectsWith(channel.checkQueue(name, soon()), "not-found", name);
    await broker.queue(); // the other channel lives on
  }, { needs: ["known-queues"] }),
  onBroker(
    "checkExchange() of a missing exchange is not-found",
    async (broker) => {
      const name = unique("missing");
      const channel = await broker.openChannel();
      await rejectsWith(channel.checkExchange(name, soon()), "not-found", name);
    },
  ),
  onBroker("checkExchange() finds what is there", async (broker) => {
    await broker.channel.checkExchange(await broker.exchange("fanout"), soon());
    await broker.channel.checkExchange("", soon());
  }),
  onBroker("declareExchange() twice is declaring once", async (broker) => {
    const exchange = broker.exchangeOf("topic");
    await broker.channel.declareExchange(exchange, soon());
    const queue = await broker.queue();
    await broker.bind(queue, exchange.name, "a.#");
    await broker.channel.declareExchange(exchange, soon());
    await broker.publish(exchange.name, "a.b", "bound still");
    assert.deepEqual(await broker.drain(queue), ["bound still"]);
  }),
  onBroker(
    "declareExchange() of another type is precondition-failed",
    async (broker) => {
      const exchange = broker.exchangeOf("topic");
      await broker.channel.declareExchange(exchange, soon());
      const other = await broker.openChannel();
      await rejectsWith(
        other.declareExchange({ ...exchange, type: "fanout" }, soon()),
        "precondition-failed",
        exchange.name,
      );
    },
  ),
  onBroker(
    "declareExchange() refuses names of the broker's own",
    async (broker) => {
      await rejectsWith(
        broker.channel.declareExchange(
          { ...broker.exchangeOf("direct"), name: `amq.${unique("x")}` },
          soon(),
        ),
        "access-refused",
      );
    },
  ),
  onBroker("bind() to a missing exchange is not-found", async (broker) => {
    const queue = await broker.queue();
    const channel = await broker.openChannel();
    await rejectsWith(
      channel.bind(bindingOf("queue", queue, unique("missing")), soon()),
      "not-found",
    );
  }),
  onBroker("bind() of a missing queue is not-found", async (broker) => {
    const exchange = await broker.exchange("direct");
    const channel = await broker.openChannel();
    await rejectsWith(
      channel.bind(bindingOf("queue", unique("missing"), exchange), soon()),
      "not-found",
    );
  }, { needs: ["known-queues"] }),
  onBroker("bind() twice delivers once", async (broker) => {
    const [queue, exchange] = [
      await broker.queue(),
      await broker.exchange("direct"),
    ];
    await broker.bind(queue, exchange, "k");
    await broker.bind(queue, exchange, "k");
    await broker.publish(exchange, "k", "one");
    assert.deepEqual(await broker.drain(queue), ["one"]);
  }),
  onBroker(
    "unbind() stops the messages, and is harmless twice",
    async (broker) => {
      const [queue, exchange] = [
        await broker.queue(),
        await broker.exchange("direct"),
      ];
      await broker.bind(queue, exchange, "k");
      await broker.bind(queue, exchange, "l");
      const binding = bindingOf("queue", queue, exchange, "k");
      await broker.channel.unbind(binding, soon());
      await broker.channel.unbind(binding, soon());
      await broker.publish(exchange, "k", "gone");
      await broker.publish(exchange, "l", "kept");
      assert.deepEqual(await broker.drain(queue), ["kept"]);
    },
  ),
  onBroker("deleteQueue() returns how many messages went", async (broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "a");
    await broker.put(queue, "b");
    assert.equal(await broker.channel.deleteQueue(queue, soon()), 2);
    assert.equal(await broker.channel.deleteQueue(queue, soon()), 0);
  }),
  onBroker(
    "deleteQueue() removes the same key's bindings from every exchange",
    async (broker) => {
      const exchanges = [
        await broker.exchange("direct"),
        await broker.exchange("direct"),
      ];
      const declared = broker.queueOf();
      await broker.channel.declareQueue(declared, soon());
      for (const exchange of exchanges) {
        await broker.bind(declared.name, exchange, "k");
      }
      await broker.channel.deleteQueue(declared.name, soon());
      await broker.channel.declareQueue(declared, soon());
      for (const exchange of exchanges) {
        await broker.publish(exchange, "k", "not bound any more");
      }
      assert.equal(await broker.count(declared.name), 0);
    },
  ),
  onBroker("deleteQueue() removes its bindings", async (broker) => {
    const exchange = await broker.exchange("fanout");
    const queue = broker.queueOf();
    await broker.channel.declareQueue(queue, soon());
    await broker.bind(queue.name, exchange);
    await broker.channel.deleteQueue(queue.name, soon());
    await broker.channel.declareQueue(queue, soon());
    await broker.publish(exchange, "", "not bound any more");
    assert.equal(await broker.count(queue.name), 0);
  }),
  onBroker(
    "deleteQueue() ifEmpty spares a queue with messages",
    async (broker) => {
      const queue = await broker.queue();
      await broker.put(queue, "kept");
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.deleteQueue(queue, { ifEmpty: true, ...soon() }),
        "precondition-failed",
      );
      assert.equal(await broker.count(queue), 1);
      await broker.channel.purgeQueue(queue, soon());
      await broker.channel.deleteQueue(queue, { ifEmpty: true, ...soon() });
    },
  ),
  onBroker(
    "deleteQueue() ifUnused spares a queue with consumers",
    async (broker) => {
      const queue = await broker.queue();
      await broker.consume(queue);
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.deleteQueue(queue, { ifUnused: true, ...soon() }),
        "precondition-failed",
      );
    },
    { needs: ["shared-topology"] },
  ),
  onBroker(
    "deleteExchange() ifUnused spares an exchange with bindings",
    async (broker) => {
      const [queue, exchange] = [
        await broker.queue(),
        await broker.exchange("direct"),
      ];
      await broker.bind(queue, exchange, "k");
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.deleteExchange(exchange, { ifUnused: true, ...soon() }),
        "precondition-failed",
      );
      await broker.publish(exchange, "k", "kept");
      assert.deepEqual(await broker.drain(queue), ["kept"]);
    },
  ),
  onBroker("deleteExchange() is harmless twice", async (broker) => {
    const exchange = await broker.exchange("direct");
    await broker.channel.deleteExchange(exchange, soon());
    await broker.channel.deleteExchange(exchange, soon());
    const channel = await broker.openChannel();
    await rejectsWith(channel.checkExchange(exchange, soon()), "not-found");
  }),
  onBroker(
    "purgeQueue() removes ready messages alone, and counts them",
    async (broker) => {
      const queue = await broker.queue();
      for (const text of ["held", "b", "c"]) await broker.put(queue, text);
      const held = await broker.getSoon(queue);
      assert.equal(await broker.channel.purgeQueue(queue, soon()), 2);
      await broker.channel.reject(held.deliveryTag, {
        requeue: true,
        ...soon(),
      });
      await broker.untilCount(queue, 1);
    },
  ),
  onBroker(
    "an auto-delete queue goes with its last consumer",
    async (broker) => {
      const queue = await broker.queue({ autoDelete: true });
      const [first, second] = [
        await broker.consume(queue),
        await broker.consume(queue),
      ];
      await first.subscription?.[Symbol.asyncDispose]();
      assert.equal(
        (await broker.channel.checkQueue(queue, soon())).name,
        queue,
      );
      await second.subscription?.[Symbol.asyncDispose]();
      const channel = await broker.openChannel();
      await rejectsWith(channel.checkQueue(queue, soon()), "not-found");
    },
    { needs: ["known-queues"] },
  ),
  onBroker(
    "an auto-delete exchange goes with its last binding",
    async (broker) => {
      const exchange = await broker.exchange("direct", { autoDelete: true });
      const queue = await broker.queue();
      await broker.bind(queue, exchange, "k");
      await broker.channel.unbind(
        bindingOf("queue", queue, exchange, "k"),
        soon(),
      );
      const channel = await broker.openChannel();
      await rejectsWith(channel.checkExchange(exchange, soon()), "not-found");
    },
  ),
  onBroker(
    "an exclusive queue is locked to others, and goes with its connection",
    async (broker) => {
      const elsewhere = await broker.openElsewhere();
      const { name } = await elsewhere.channel.declareQueue(
        broker.queueOf({ exclusive: true }),
        soon(),
      );
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.checkQueue(name, soon()),
        "resource-locked",
        name,
      );
      await elsewhere.connection[Symbol.asyncDispose]();
      await until(async () => {
        const another = await broker.openChannel();
        const error = await another.checkQueue(name, soon()).catch((e) => e);
        if (error.code === "not-found") return true;
        assert.equal(error.code, "resource-locked");
        return false;
      }, "the end of the queue");
    },
    { needs: ["exclusive", "known-queues"] },
  ),
  onBroker(
    "an internal exchange takes no messages from publishers",
    async (broker) => {
      const exchange = await broker.exchange("fanout", { internal: true });
      const channel = await broker.openChannel();
      await rejectsWith(
        channel.publish(publishing(exchange, "", "x"), soon()),
        "access-refused",
      );
    },
  ),
  onBroker(
    "declareQueue() refuses bad arguments by their name",
    async (broker) => {
      await rejectsWith(
        broker.channel.declareQueue(
          broker.queueOf({ arguments: { "x-message-ttl": -1 } }),
          soon(),
        ),
        "precondition-failed",
        "x-message-ttl",
      );
    },
    { needs: ["message-ttl"] },
  ),
  onBroker("declarations are seen from other connections", async (broker) => {
    const [queue, exchange] = [
      await broker.queue(),
      await broker.exchange("direct"),
    ];
    await broker.bind(queue, exchange, "k");
    const { channel } = await broker.openElsewhere();
    await channel.publish(
      { ...publishing(exchange, "k", ""), body: bytes("from elsewhere") },
      soon(),
    );
    assert.equal(textOf(await broker.getSoon(queue)), "from elsewhere");
  }, { needs: ["shared-topology"] }),
];
