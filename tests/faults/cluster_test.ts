/** A rolling restart of a cluster of three RabbitMQ, with both clients at work on all of its nodes. */

import { assertEquals } from "@std/assert";
import { findRabbitmq, type Rabbitmq } from "../brokers/rabbitmq.ts";
import { startRabbitmqCluster } from "../brokers/rabbitmq_cluster.ts";
import { noted } from "../chaos/ledger.ts";
import { CLIENTS, urlFor } from "../support/amqp.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { ALL } from "../support/targets.ts";
import { ClusterTraffic } from "./cluster_traffic.ts";

const why = !ALL
  ? "run it by deno task faults"
  : findRabbitmq() === undefined
  ? "RabbitMQ is not installed"
  : undefined;

Deno.test({
  name:
    `amqp, amqp_client: a rolling restart of a cluster loses no message and ends no consumer${
      why === undefined ? "" : ` (${why})`
    }`,
  ignore: why !== undefined,
  fn: async () => {
    const before = resources();
    await using cluster = await startRabbitmqCluster();
    const { nodes } = cluster;
    const traffic = CLIENTS.map((client) =>
      new ClusterTraffic(
        client.scheme,
        nodes.map(({ url }) => urlFor(client, url)),
      )
    );
    const each = (what: (one: ClusterTraffic) => Promise<void>) =>
      Promise.all(traffic.map(what));
    /** With two of three nodes all goes on that is not a classic queue of the third. */
    const onTwo = async () => {
      await each((one) => one.progress("without a node", /quorum|iterated/));
    };
    const ways: readonly ((node: Rabbitmq) => Promise<void>)[] = [
      (node) => cluster.restartApp(node, onTwo),
      (node) => node.restart("SIGTERM"),
      (node) => cluster.restartApp(node, onTwo),
    ];
    try {
      await each((one) => one.begin());
      for (const [i, node] of nodes.entries()) {
        await ways[i]?.(node);
        await cluster.ready();
        await each((one) => one.progress(`after the restart of ${node.node}`));
      }
      await each((one) => one.settle());
      for (const one of traffic) {
        assertEquals(one.faults, [], one.report());
        assertEquals([...one.ended], [], one.report());
        for (const ledger of one.ledgers) noted(ledger.tally());
      }
    } finally {
      await each((one) => one.close());
    }
    await assertNothingLeft(before);
  },
});
