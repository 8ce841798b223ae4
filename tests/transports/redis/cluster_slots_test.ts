/** Which keys the scripts use in a cluster, as its nodes tell. */

import { assert, assertEquals } from "@std/assert";
import { Redis } from "ioredis";
import { createHash } from "node:crypto";
import { Queue } from "@dashi/mq";
import { createTransport } from "../../../transports/redis/mod.ts";
import { Layout } from "../../../transports/redis/layout.ts";
import { readRedisOptions } from "../../../transports/redis/options.ts";
import { writeScripts } from "../../../transports/redis/lua/scripts.ts";
import { slotOf } from "../../../transports/redis/cluster/slots.ts";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { type BrokerUrl, fillDefaults, parseUrl } from "../../../url/mod.ts";
import type { ConnectOptions } from "../../../transports/transport.ts";
import { REDIS } from "../../../transports/url_defaults.ts";
import { Cluster } from "../../../transports/redis/cluster/cluster_client.ts";
import { dialCluster } from "../../../transports/redis/connect.ts";
import { Mirror } from "../../../transports/redis/declared/mirror.ts";
import { SlotContext } from "../../../transports/redis/cluster/slot_context.ts";
import { startRedisCluster } from "../../brokers/redis_cluster.ts";
import { CONFORMANCE_CASES, type Harness } from "../../conformance/mod.ts";
import { rejectsWith } from "../../conformance/support.ts";
import { connectTo, testAlone } from "../../support/redis.ts";

/** Cases whose calls are, together, all that a connection does. */
const CASES: RegExp =
  /^(a fanout exchange reaches every bound|reschedule\(\) moves the end|several messages in quarantine|an expired message is dead|inspect\(\)|get\(\) of a missing|a full queue|messages of an ordered queue expire|an ordered queue keeps a key waiting|run\(\) in order: a message that is tried|rateLimit with|a queue with x-expires|a requeued message)/;

/** Scripts that seldom run: arguments with which they do. */
const SELDOM = {
  broadcast: ["", 0, "channel", "text", 0],
  listDelayed: ["orders", 0, 10],
  mendPiece: ["events", "pieces", "bound", "0", "", 0],
  mendEnd: ["events", "pieces", "", 0],
  overdue: [1000, 1000],
  peekOrdered: ["orders", 10],
  purge: ["orders"],
} as const;

/** Scripts that no connection to a cluster calls, and why. */
const NEVER = new Map([
  ["adopt", "Kombu publishes nothing there"],
  ["adjust", "clocks of several nodes are not corrected"],
  ["unacked", "Kombu takes nothing there"],
]);

/** Commands whose every argument is a key. */
const ALL_KEYS = /^(del|unlink|exists|sunion)$/;

/** Commands in scripts that have no key. */
const NO_KEYS = /^(time|publish|spublish)$/;

/** The calls of scripts, as a node tells of them: what was called, and with which keys. */
class Calls {
  readonly scripts = new Set<string>();
  readonly crossing: string[] = [];
  /** The slot of the script that runs, and its name. */
  #running: { readonly slot: number; readonly sha: string } | undefined;
  count = 0;

  /** Takes in a command; those of a script come right behind its own. */
  add([name = "", ...args]: readonly string[], source: string): void {
    const command = name.toLowerCase();
    if (source !== "lua") {
      this.#running = undefined;
      if (!/^eval(sha)?$/.test(command)) return;
      const [script = "", keys, place = ""] = args;
      assert(Number(keys) >= 1, `a script without a key: ${script}`);
      const sha = command === "eval" ? shaOf(unescaped(script)) : script;
      this.scripts.add(sha);
      this.#running = { slot: slotOf(place), sha };
      for (const key of args.slice(2, 2 + Number(keys))) this.#check(key);
      return;
    }
    if (NO_KEYS.test(command)) return;
    const keys = ALL_KEYS.test(command)
      ? args
      : command === "rename"
      ? args.slice(0, 2)
      : command === "memory"
      ? args.slice(1, 2)
      : args.slice(0, 1);
    for (const key of keys) this.#check(key);
  }

  #check(key: string): void {
    this.count++;
    assert(this.#running !== undefined, `a key outside of scripts: ${key}`);
    if (slotOf(key) !== this.#running.slot) {
      this.crossing.push(`${this.#running.sha}: ${key}`);
    }
  }
}

function shaOf(script: string): string {
  return createHash("sha1").update(script).digest("hex");
}

/** A node tells of texts with escapes; the client undoes those of quotes. */
function unescaped(text: string): string {
  const meant: Record<string, string> = { n: "\n", r: "\r", t: "\t" };
  return text.replace(
    /\\(n|r|t|\\)/g,
    (_, letter: string) => meant[letter] ?? letter,
  );
}

async function runSeldom(
  url: BrokerUrl,
  layout: Layout,
  options: ConnectOptions,
): Promise<void> {
  const { address } = readRedisOptions(url, options);
  const { clock, owner } = options;
  const settings = { shared: layout.shared, clock, timeout: 10_000 };
  const dialer = dialCluster(url, address, options);
  await using cluster = await Cluster.open(dialer, settings, {});
  const mirror = new Mirror(layout, true);
  const parts = { layout, clock, owner, replicas: 0 };
  const context = new SlotContext(cluster.commands, mirror, parts);
  for (const [name, args] of Object.entries(SELDOM)) {
    await context.run(name as keyof typeof SELDOM, "test", args, {
      queueOf: () => "orders",
    });
  }
}

testAlone(
  "in a cluster every script has all of its keys in one slot",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    const monitors: Redis[] = [];
    const calls: Calls[] = [];
    const ends: Promise<void>[] = [];
    try {
      for (const { port } of cluster.primaries) {
        const redis = new Redis({ host: "127.0.0.1", port, lazyConnect: true });
        const monitor = await redis.monitor();
        redis.disconnect();
        monitors.push(monitor);
        const heard = new Calls();
        calls.push(heard);
        const { promise, resolve } = Promise.withResolvers<void>();
        ends.push(promise);
        monitor.on(
          "monitor",
          (_time: string, args: string[], source: string) =>
            args[0]?.toLowerCase() === "echo"
              ? resolve()
              : heard.add(args, source),
        );
      }
      const url = cluster.url.replace(/,[^/]*/, "");
      const harness: Harness = {
        transport: createTransport(),
        url,
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      const chosen = CONFORMANCE_CASES.filter(({ name, lacks }) =>
        CASES.test(name) && lacks.length === 0
      );
      assert(chosen.length > 15, `${chosen.length} cases`);
      for (const each of chosen) {
        if (each.restarts || each.kills) continue;
        await each.run(harness).catch((cause) => {
          throw new Error(each.name, { cause });
        });
      }
      const options: ConnectOptions = {
        owner: "o",
        clock: SYSTEM_CLOCK,
        heartbeat: 0,
        operationTimeout: 10_000,
        transportOptions: {},
      };
      const parsed = fillDefaults(parseUrl(url), REDIS);
      const layout = new Layout(readRedisOptions(parsed, options).layout);
      await runSeldom(parsed, layout, options);
      // Nor are all keys of a node looked through, for what Kombu might have there.
      for (const node of cluster.primaries) {
        const told = await node.command("INFO", "commandstats");
        assert(!told.includes("cmdstat_scan:"), told);
      }
      // A node tells of a command after it has answered it.
      for (const node of cluster.primaries) await node.command("ECHO", "end");
      await Promise.all(ends);
      const scripts = Object.entries(writeScripts(layout));
      const called = new Set(calls.flatMap(({ scripts }) => [...scripts]));
      const missing = scripts.filter(([, text]) => !called.has(shaOf(text)))
        .map(([name]) => name);
      assertEquals(missing.sort(), [...NEVER.keys()].sort());
      assertEquals(calls.flatMap(({ crossing }) => crossing), []);
      assert(calls.every(({ count }) => count > 100));
    } finally {
      for (const monitor of monitors) {
        const ended = new Promise((resolve) => monitor.once("end", resolve));
        monitor.disconnect();
        await ended;
      }
      await cluster.stop();
    }
  },
  180_000, // so many cases
);

Deno.test("slotOf() is as a node counts: of the hash tag, if there is one that is not empty", () => {
  // As CLUSTER KEYSLOT says.
  assertEquals(slotOf("123456789"), 12_739);
  assertEquals(slotOf("somekey"), 11_058);
  assertEquals(slotOf("foo{bar}zap"), slotOf("bar"));
  assertEquals(slotOf("foo{}{bar}"), 8363);
});

Deno.test("a key of a queue in a slot of its own says which queue that is, whatever its name", () => {
  const base = { prefix: "app:", sep: "\x06\x16", steps: [0, 3, 6, 9] };
  const layout = new Layout({
    ...base,
    ...{ highestFirst: true, unackedKey: "unacked", database: 0 },
    ...{ unackedIndexKey: "unacked_index", fanoutPrefix: true },
    ...{ fanoutPatterns: true, sharded: true },
  });
  for (const queue of ["orders", "a}b", "a{b}c", "größe", "x}x", "dashi"]) {
    const slots = new Set(layout.places(queue, true).map(slotOf));
    assertEquals(slots.size, 1, queue);
    for (const key of layout.places(queue, true)) {
      assertEquals(layout.queueOf(key), queue);
    }
    assertEquals(layout.dueIn(layout.dueOf(queue)), queue);
  }
  assert(layout.isReserved("}a"));
});

testAlone(
  "in a cluster names with braces are queues, but for those that begin with a closing one",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      await using connection = connectTo(cluster.url);
      for (const name of ["{", "{}", "a{", "{a", "a}", "{}a", "{a}b"]) {
        const queue = new Queue<string>(name);
        await connection.send(queue, name);
        const message = await connection.queue(queue).get();
        assertEquals(message?.payload, name);
        await message?.ack();
      }
      for (const name of ["}", "}a"]) {
        await rejectsWith(
          connection.declare(new Queue(name)),
          "access-refused",
          'has a name that begins with "}"',
        );
      }
    } finally {
      await cluster.stop();
    }
  },
);
