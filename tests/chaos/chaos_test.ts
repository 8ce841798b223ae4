import { assert, assertEquals } from "@std/assert";
import { lastingServer } from "../brokers/mod.ts";
import { hasRedis } from "../brokers/redis.ts";
import type { LastingServer } from "../brokers/server.ts";
import { ALL, LATER, onEach } from "../support/targets.ts";
import { MIXED, randomOf } from "./faults.ts";
import { runKills } from "./kills.ts";
import { runBusy, runIdle } from "./run.ts";
import {
  behindNodes,
  behindProxies,
  onNodes,
  onServer,
  withCluster,
  withSqliteFile,
} from "./scene.ts";

/** Another seed is another run: `deno task chaos --seed=N`. */
const SEED = 20_260_101;

onEach(
  "a network that fails in every way loses no confirmed message (rows 1 and 3)",
  async (url) => {
    await using scene = behindProxies(url, MIXED);
    const { lost, unexpected, published } = await runBusy(scene, {
      messages: 500,
      faults: 5,
      random: randomOf(SEED),
    });
    assertEquals([lost, unexpected, published], [0, 0, 500]);
  },
);

onEach(
  "a consumer that idles gets all after a network has failed in every way (row 1)",
  async (url) => {
    await using scene = behindProxies(url, MIXED);
    const { lost, unexpected, faults } = await runIdle(scene, {
      messages: 0,
      faults: 5,
      random: randomOf(SEED),
    });
    assertEquals([lost, unexpected, faults], [0, 0, 5]);
  },
);

onEach(
  "a server that is killed, then one that is ended, loses no confirmed message (row 3)",
  async (_, { broker, at }) => {
    const lasting = lastingServer(broker);
    assert("start" in lasting);
    const server = await lasting.start();
    const signals = ["SIGKILL", "SIGTERM"] as const;
    let turn = 0;
    try {
      await using scene = onServer(
        server,
        at(server.url),
        (server) => server.restart(signals[turn++]),
      );
      const { lost, unexpected, published } = await runBusy(scene, {
        messages: 300,
        faults: signals.length,
        random: randomOf(SEED),
      });
      assertEquals([lost, unexpected, published, turn], [
        0,
        0,
        300,
        signals.length,
      ]);
    } finally {
      await server.stop();
    }
  },
  undefined,
  undefined,
  ({ broker }) => {
    // Three starts of RabbitMQ; its suite restarts it.
    if (!ALL && broker === "AMQP") return LATER;
    const lasting = lastingServer(broker);
    return "reason" in lasting ? lasting.reason : undefined;
  },
);

onEach(
  "consumers that are killed lose no confirmed message (row 6)",
  async (url) => {
    const { lost, unexpected, faults } = await runKills(url, "consume", {
      messages: 200,
      faults: 2,
      random: randomOf(SEED),
    });
    assertEquals([lost, unexpected, faults], [0, 0, 2]);
  },
  undefined,
  undefined,
  // Messages that killed processes held come after half a minute;
  // tests/transports/redis/kills_test.ts kills more of them.
  ({ broker }) => !ALL && broker === "REDIS" ? LATER : undefined,
);

for (const victim of ["produce", "consume"] as const) {
  Deno.test(
    `sqlite: ${victim}rs that are killed lose no confirmed message of a file that four processes share (row 6)`,
    () =>
      withSqliteFile(async (url) => {
        const { lost, unexpected, faults } = await runKills(url, victim, {
          messages: 200,
          faults: 2,
          random: randomOf(SEED),
        });
        assertEquals([lost, unexpected, faults], [0, 0, 2]);
      }),
  );
}

for (const [how, run] of [["works", runBusy], ["idles", runIdle]] as const) {
  Deno.test({
    name:
      `redis cluster: a consumer that ${how} gets all that is confirmed, though the network to one node after the other fails, and each node is killed (rows 1 and 3)${
        ALL ? "" : ` (${LATER})`
      }`,
    ignore: !ALL || !hasRedis(),
    fn: () =>
      withCluster(async (cluster, url) => {
        const options = { messages: 300, faults: 5 };
        {
          await using scene = await behindNodes(cluster, MIXED);
          const random = randomOf(SEED);
          const tally = await run(scene, { ...options, random });
          const { lost, unexpected, faults } = tally;
          assertEquals([lost, unexpected, faults], [0, 0, 5]);
        }
        let turn = 0;
        const killed = (server: LastingServer) =>
          server.restart(turn++ % 2 === 0 ? "SIGKILL" : "SIGTERM");
        await using scene = onNodes(cluster, url, killed);
        const random = randomOf(SEED);
        const tally = await run(scene, { ...options, random });
        const { lost, unexpected, faults } = tally;
        assertEquals([lost, unexpected, faults, turn], [0, 0, 5, 5]);
      }),
  });
}
