/** A cluster whose slots move, and whose primaries are killed, while messages flow. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Connection, Queue } from "@dashi/mq";
import { type Clock, SYSTEM_CLOCK } from "../../../async/clock.ts";
import type { QueueDeclaration } from "../../../model/queue.ts";
import type { DeliveryTag } from "../../../model/message.ts";
import { createTransport } from "../../../transports/redis/mod.ts";
import { slotOf } from "../../../transports/redis/cluster/slots.ts";
import { moveSlot, startRedisCluster } from "../../brokers/redis_cluster.ts";
import { until } from "../../brokers/server.ts";
import { connect } from "../../conformance/broker.ts";
import { publishing, soon } from "../../conformance/support.ts";
import { connectTo, pause, testAlone } from "../../support/redis.ts";
import { nodesOf } from "../../support/redis_nodes.ts";

const QUEUES = ["orders", "mails", "bills"].map((name) => new Queue(name));

function queueNamed(name: string): QueueDeclaration {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
}

/** The machine's clock; the timers that are set are noted, with their times. */
function noting(timers: Map<() => void, number>): Clock {
  return {
    ...SYSTEM_CLOCK,
    timer(callback, delay) {
      const stop = () => {
        cancel();
        timers.delete(stop);
      };
      const cancel = SYSTEM_CLOCK.timer(() => {
        timers.delete(stop);
        callback();
      }, delay);
      timers.set(stop, delay);
      return stop;
    },
  };
}

/** What was confirmed, and what came. */
class Ledger {
  readonly confirmed = new Set<number>();
  readonly seen = new Map<number, number>();

  /** Publishes to each queue until it is told to stop: none waits for another's slot. */
  async publish(connection: Connection, isOver: () => boolean): Promise<void> {
    const producer = connection.producer<number>({ declare: QUEUES });
    await Promise.all(QUEUES.map(async ({ name }, first) => {
      for (let number = first; !isOver(); number += QUEUES.length) {
        await producer.publish(number, { routingKey: name });
        this.confirmed.add(number);
      }
    }));
  }

  /** Takes until all that was confirmed has come. */
  take(connection: Connection): { stop(): Promise<void> } {
    const consumer = connection.consumer<number>(QUEUES);
    const running = consumer.run(({ payload }) => {
      this.seen.set(payload, (this.seen.get(payload) ?? 0) + 1);
    });
    return {
      stop: async () => {
        await consumer.close();
        await running;
      },
    };
  }

  /** Waits until so many more were confirmed. */
  async more(count: number): Promise<void> {
    const wanted = this.confirmed.size + count;
    await this.until(() => this.confirmed.size >= wanted);
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise((go) => setTimeout(go, 10));
  }

  get missing(): number[] {
    return [...this.confirmed].filter((each) => !this.seen.has(each));
  }
}

testAlone(
  "in a cluster slots move while messages flow, and each comes once and in time",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      await using connection = connectTo(cluster.url);
      const ledger = new Ledger();
      const taking = ledger.take(connection);
      let isOver = false;
      const publishing = ledger.publish(connection, () => isOver);
      for (let round = 0; round < 2; round++) {
        for (const { name } of QUEUES) {
          await ledger.more(50);
          const { holder, other } = await nodesOf(cluster, `{${name}}`);
          await moveSlot(cluster, slotOf(`{${name}}`), holder, other, () =>
            // Some of its keys are here, and some there.
            ledger.more(20));
        }
      }
      await ledger.more(50);
      isOver = true;
      await publishing;
      await ledger.until(() => ledger.missing.length === 0);
      await taking.stop();
      const twice = [...ledger.seen.values()].filter((count) => count > 1);
      assertEquals(twice, []);
      assertEquals(ledger.seen.size, ledger.confirmed.size);
    } finally {
      await cluster.stop();
    }
  },
);

testAlone(
  "in a cluster acks that leave together, of which a slot refuses one, count as done when they are tried again",
  async () => {
    const cluster = await startRedisCluster({
      replicas: false,
      arguments: ["--cluster-require-full-coverage", "no"],
    });
    try {
      const harness = {
        transport: createTransport(),
        url: cluster.url,
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      const connection = await connect(harness);
      await using channel = await connection.openChannel(soon());
      const [first, second, third] = await Promise.all(
        QUEUES.map(async ({ name }) => ({
          name,
          ...await nodesOf(cluster, `{${name}}`),
        })),
      );
      assert(
        first !== undefined && second !== undefined && third !== undefined,
      );
      const other = second.holder === first.holder ? third : second;
      assert(first.holder !== other.holder, "one node has all of the queues");
      const tags: DeliveryTag[] = [];
      for (const { name } of [first, other]) {
        await channel.declareQueue(queueNamed(name), soon());
        await channel.publish(publishing("", name, "x"), soon());
        const delivery = await channel.get(name, soon());
        assert(delivery !== undefined);
        tags.push(delivery.deliveryTag);
      }
      const slot = String(slotOf(`{${other.name}}`));
      const ackAll = (limits: { readonly deadline: number }) =>
        Promise.allSettled(tags.map((tag) => channel.ack(tag, limits)));
      await other.holder.command("CLUSTER", "DELSLOTS", slot);
      const refused = await ackAll({ deadline: performance.now() + 4000 });
      assertEquals(refused.map(({ status }) => status), [
        "rejected",
        "rejected",
      ]);
      // Who waits for the slot leaves no timer behind when its connection closes.
      const timers = new Map<() => void, number>();
      const leaving = await connect(harness, { clock: noting(timers) });
      const empty = await leaving.openChannel(soon());
      const waiting = assertRejects(() => empty.get(other.name, soon()));
      await until(
        "A longest pause",
        30_000,
        () => Promise.resolve([...timers.values()].includes(200)),
      );
      await leaving[Symbol.asyncDispose]();
      assertEquals([...timers.values()], []);
      await waiting;
      await other.holder.command("CLUSTER", "ADDSLOTS", slot);
      const acked = await ackAll(soon());
      assertEquals(
        acked.map((each) => each.status === "rejected" ? each.reason : "acked"),
        ["acked", "acked"],
      );
      await connection[Symbol.asyncDispose]();
    } finally {
      await cluster.stop();
    }
  },
);

testAlone(
  "in a cluster a slot that no node has keeps nothing of the other queues from who consumes all of them",
  async () => {
    const cluster = await startRedisCluster({
      replicas: false,
      arguments: ["--cluster-require-full-coverage", "no"],
    });
    try {
      await using sender = connectTo(cluster.url);
      for (const each of QUEUES) await sender.declare(each);
      // A call that waits for a slot does so for longer than this test waits.
      await using worker = connectTo(cluster.url, {
        operationTimeout: 120_000,
      });
      const handled: string[] = [];
      const consumer = worker.consumer<string>(QUEUES);
      const running = consumer.run(({ payload }) => {
        handled.push(payload);
      });
      const has = (text: string) =>
        until(text, 60_000, () => Promise.resolve(handled.includes(text)));
      await sender.send("bills", "first");
      await has("first");
      const { holder } = await nodesOf(cluster, "{bills}");
      const slot = String(slotOf("{bills}"));
      await holder.command("CLUSTER", "DELSLOTS", slot);
      // All queues are looked at every five seconds.
      await pause(6000);
      await sender.send("orders", "elsewhere");
      await has("elsewhere");
      await holder.command("CLUSTER", "ADDSLOTS", slot);
      await sender.send("bills", "last", { timeout: 60_000 });
      await has("last");
      await consumer.close();
      await running;
    } finally {
      await cluster.stop();
    }
  },
  120_000,
);

testAlone(
  "in a cluster a node that takes no writes keeps what is worked on, and the queues of others flow",
  async () => {
    const cluster = await startRedisCluster({
      replicas: false,
      arguments: ["--save", "3600 1"],
    });
    try {
      await using connection = connectTo(cluster.url);
      const { holder: full } = await nodesOf(cluster, "{bills}");
      const { holder: well } = await nodesOf(cluster, "{orders}");
      assert(full !== well, "one node has both queues");
      const handled: string[] = [];
      let aborted = 0;
      const working = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const consumer = connection.consumer<string>(QUEUES, { prefetch: 1 });
      const running = consumer.run(async ({ payload, signal }) => {
        signal.addEventListener("abort", () => aborted++);
        if (payload === "held") {
          working.resolve();
          await goOn.promise;
        }
        handled.push(payload);
      }, { concurrency: 2 });
      const has = (text: string) =>
        until(text, 60_000, () => Promise.resolve(handled.includes(text)));
      await connection.send("bills", "held");
      await working.promise;
      // Where no snapshot can be made no write is taken: a folder has its file's name. A node
      // whose own folder is gone ends itself as soon as it has to write what it knows of others.
      const folder = (await full.command("CONFIG", "GET", "dir")).split("\r\n")
        .find((each) => each.startsWith("/")) ?? "";
      await Deno.mkdir(`${folder}/dump.rdb`);
      await full.command("BGSAVE");
      let refusal = "";
      await until("MISCONF", 60_000, async () => {
        await connection.send("bills", "more", { timeout: 2000 })
          .catch((error) => refusal = error.message);
        return refusal.includes("MISCONF");
      });
      await connection.send("orders", "elsewhere");
      await has("elsewhere");
      goOn.resolve();
      await Deno.remove(`${folder}/dump.rdb`);
      await until("a snapshot", 60_000, async () => {
        await full.command("BGSAVE");
        const info = await full.command("INFO", "persistence");
        return info.includes("rdb_last_bgsave_status:ok");
      });
      await connection.send("bills", "last", { timeout: 60_000 });
      await has("last");
      assertEquals(aborted, 0);
      assertEquals(handled.filter((each) => each === "held"), ["held"]);
      await consumer.close();
      await running;
    } finally {
      await cluster.stop();
    }
  },
);

testAlone(
  "in a cluster a primary is killed while messages flow, and with waitForReplicas nothing confirmed is lost",
  async () => {
    const cluster = await startRedisCluster();
    try {
      await using connection = connectTo(cluster.url, {
        transportOptions: { waitForReplicas: 1, visibilityTimeout: 2000 },
      });
      const ledger = new Ledger();
      const taking = ledger.take(connection);
      let isOver = false;
      const publishing = ledger.publish(connection, () => isOver);
      await ledger.more(100);
      const { holder } = await nodesOf(cluster, "{orders}");
      const heir = cluster.replicas[cluster.primaries.indexOf(holder)];
      assert(heir !== undefined);
      // What is published from here on the replica does not hear of: without `WAIT` it is confirmed, and lost.
      Deno.kill(heir.pid, "SIGSTOP");
      await holder.command("CLIENT", "KILL", "TYPE", "replica");
      await pause(500);
      await holder.kill();
      Deno.kill(heir.pid, "SIGCONT");
      await until(
        "The replica",
        30_000,
        async () => (await heir.command("ROLE")).includes("master"),
      );
      // What comes back is the replica of the one that was its own.
      await holder.start();
      await ledger.more(200);
      isOver = true;
      await publishing;
      await ledger.until(() => ledger.missing.length === 0);
      await taking.stop();
      assertEquals(
        [...ledger.seen.keys()].filter((each) => !ledger.confirmed.has(each)),
        [],
      );
    } finally {
      await cluster.stop();
    }
  },
  90_000,
);

testAlone(
  "in a cluster what a lost connection held comes again with the next one, though one node alone has hung up",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      await using connection = connectTo(cluster.url);
      const queues = ["orders", "mails", "bills"].map((name) =>
        new Queue<string>(name)
      );
      for (const each of queues) await connection.send(each, each.name);
      const consumer = connection.consumer<string>(queues);
      const messages = consumer[Symbol.asyncIterator]();
      const take = async () => {
        const taken = [await messages.next(), await messages.next()];
        taken.push(await messages.next());
        return taken.map(({ value }) => value);
      };
      const names = queues.map(({ name }) => name).sort();
      const first = await take();
      assertEquals(first.map((each) => each?.payload).sort(), names);
      await cluster.primaries[0]?.command("CLIENT", "KILL", "TYPE", "normal");
      const second = await take();
      assertEquals(second.map((each) => each?.payload).sort(), names);
      for (const each of second) await each?.ack();
      await consumer.close();
    } finally {
      await cluster.stop();
    }
  },
);
