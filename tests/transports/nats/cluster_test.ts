/** Three servers, of which each keeps all queues: one that is killed takes nothing with it, and two are waited for. */

import { assertEquals } from "@std/assert";
import { connect } from "@nats-io/transport-node";
import { createConnection, Queue } from "@dashi/mq";
import {
  isInstalled,
  type NatsCluster,
  startNatsCluster,
} from "../../brokers/nats.ts";
import { until } from "../../brokers/server.ts";
import { arrives } from "../../conformance/support.ts";

/** How many publishes are under way at once. */
const AT_ONCE = 4;

/** Milliseconds that an election may take on a machine that is busy, and more. */
const PATIENCE = 60_000;

/** A test on a cluster of its own. */
function test(
  name: string,
  run: (cluster: NatsCluster) => Promise<void>,
): void {
  Deno.test({
    name: `NATS: ${name}`,
    ignore: !isInstalled(),
    fn: async () => {
      const cluster = await startNatsCluster();
      try {
        await run(cluster);
      } finally {
        await cluster.stop();
      }
    },
  });
}

test(
  "the server of a cluster that leads a queue is killed: nothing confirmed is lost, no call fails, and who waited for an empty queue waits on",
  async (cluster) => {
    const queue = new Queue<number>("orders");
    const idle = new Queue<number>("idle");
    const at = (i: number, replicas = 3) =>
      `${cluster.servers.at(i)?.url}/c?replicas=${replicas}&ack_wait=5`;
    await using first = createConnection(at(0));
    await first.declare(queue);
    await using alone = createConnection(at(0, 1));
    await alone.declare(idle);
    const raw = await connect({
      servers: cluster.servers.map(({ url }) => new URL(url).host),
    });
    const ask = async (verb: string, body: unknown = {}) => {
      const text = JSON.stringify(body);
      const options = { timeout: 10_000 };
      const answer = await raw.request(`$JS.API.${verb}`, text, options);
      return Object(answer.json());
    };
    // One server has the one, and leads the other.
    const { cluster: { leader } } = await ask("STREAM.INFO.c_idle");
    await until("The leader", PATIENCE, async () => {
      const { cluster } = await ask("STREAM.INFO.c_orders");
      assertEquals(cluster.replicas?.length, 2);
      if (cluster.leader === leader) return true;
      await ask("STREAM.LEADER.STEPDOWN.c_orders", {
        placement: { preferred: leader },
      });
      return false;
    });
    const led = Number(leader.slice(1));
    // Neither is connected to it: what they ask is on its way to it when it dies.
    await using sender = createConnection([at(led - 1), at(led - 2)]);
    await using receiver = createConnection([at(led - 2), at(led - 1)]);
    const waiter = receiver.consumer(idle)[Symbol.asyncIterator]();
    const waiting = waiter.next();
    const { consumers: [name] } = await ask("CONSUMER.NAMES.c_idle");
    await until(
      "A request for a message",
      PATIENCE,
      async () => (await ask(`CONSUMER.INFO.c_idle.${name}`)).num_waiting === 1,
    );
    await raw.close();
    const confirmed: number[] = [];
    const got = new Set<number>();
    let isOn = true;
    const sending = Promise.all(
      Array.from({ length: AT_ONCE }, async (_, k) => {
        for (let i = k; isOn; i += AT_ONCE) {
          await sender.send(queue, i);
          confirmed.push(i);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }),
    );
    const consumer = receiver.consumer(queue, { prefetch: 20 });
    const consuming = consumer.run(({ payload }) => void got.add(payload), {
      concurrency: 5,
    });
    const flows = async (what: string) => {
      const { length } = confirmed;
      const { size } = got;
      const flow = until(
        what,
        PATIENCE,
        () =>
          Promise.resolve(
            confirmed.length > length + 100 && got.size > size + 100,
          ),
      );
      await Promise.race([flow, sending]); // a publish that fails fails the test
    };
    await flows("Messages");
    await cluster.servers[led]?.kill();
    await flows("Messages without the server that led");
    await cluster.servers[led]?.restart("SIGKILL");
    await flows("Messages with it again");
    await sender.send(idle, 7);
    const { value } = await arrives(waiting, "the message", PATIENCE);
    assertEquals(value?.payload, 7);
    await value?.ack();
    await waiter.return?.();
    isOn = false;
    await sending;
    await until(
      "All that was confirmed",
      PATIENCE,
      () => Promise.resolve(confirmed.every((each) => got.has(each))),
    );
    await consumer.cancel();
    await consuming;
  },
);

test(
  "while a cluster has no servers enough to elect one that answers, a publish waits for it",
  async (cluster) => {
    const [first, ...others] = cluster.servers;
    const { host } = new URL(first?.url ?? "");
    await using connection = createConnection(`nats://${host}/c?replicas=3`, {
      operationTimeout: PATIENCE,
    });
    const queue = new Queue("orders");
    await connection.declare(queue);
    const raw = await connect({ servers: host });
    for (const each of others) await each.kill();
    await until("An answer that there is none", PATIENCE, async () => {
      const answer = await raw.request("$JS.API.STREAM.NAMES", "", {
        timeout: 10_000,
      }).catch(() => undefined);
      return Object(answer?.json()).error?.err_code === 10008;
    });
    await raw.close();
    const sending = connection.send(queue, 1, { timeout: PATIENCE });
    let isOver = false;
    const over = () => isOver = true;
    sending.then(over, over);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assertEquals(isOver, false);
    for (const each of others) await each.restart("SIGKILL");
    await sending;
  },
);
