import { assertEquals } from "@std/assert";
import { onEach } from "../support/targets.ts";
import { MIXED, randomOf } from "./faults.ts";
import { runKills, runNetwork } from "./run.ts";

/** Another seed is another run: `deno task chaos --seed=N`. */
const SEED = 20_260_101;

onEach(
  "a network that fails in every way loses no confirmed message (rows 1 and 3)",
  async (url) => {
    const { lost, published } = await runNetwork(url, MIXED, {
      messages: 500,
      faults: 5,
      random: randomOf(SEED),
    });
    assertEquals([lost, published], [0, 500]);
  },
);

onEach(
  "consumers that are killed lose no confirmed message (row 6)",
  async (url) => {
    const { lost, faults } = await runKills(url, "consume", {
      messages: 200,
      faults: 2,
      random: randomOf(SEED),
    });
    assertEquals([lost, faults], [0, 2]);
  },
);
