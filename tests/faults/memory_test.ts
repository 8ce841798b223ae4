import { assert, assertEquals } from "@std/assert";
import { ALL, onEach } from "../support/targets.ts";
import type { Growth } from "./memory_child.ts";

const MIB = 1024 * 1024;

/** How often is published to a broker that is paused. */
const COUNT = ALL ? 200_000 : 20_000;

onEach(
  `${COUNT} publishes to a broker that is paused leave no more on the heap than what may be in flight (row 10)`,
  async (url) => {
    const { bytes, settled } = await measure("paused", url, COUNT);
    assertEquals(settled, COUNT);
    assert(bytes < 1000 * 1024 + 20 * MIB, `${bytes} bytes`);
  },
);

onEach(
  "connecting, publishing and closing leaves heap and sockets flat (row 30)",
  async (url) => {
    const growth = await measure("cycles", url, 50);
    assert(growth.bytes < 5 * MIB, `${growth.bytes} bytes`);
    assertEquals(growth.resources, 0);
  },
);

onEach(
  "forced reconnects leave heap and sockets flat (row 30)",
  async (url) => {
    const growth = await measure("reconnects", url, 50);
    assert(growth.bytes < 5 * MIB, `${growth.bytes} bytes`);
    // One that is being dialled right now counts; those that were left would be as many.
    assert(growth.resources <= 5, `${growth.resources} more are open`);
  },
);

async function measure(
  mode: string,
  url: string,
  count: number,
): Promise<Growth> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      new URL("memory_child.ts", import.meta.url).pathname,
      mode,
      url,
      String(count),
    ],
    stdin: "null",
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
