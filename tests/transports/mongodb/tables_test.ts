/** The shared declarations on MongoDB, and the URLs that lead there. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../../model/errors.ts";
import { formatPattern } from "../../../virtual/topic.ts";
import { readMongodbOptions } from "../../../transports/mongodb/options.ts";
import { fillDefaults, parseUrl } from "../../../url/mod.ts";
import golden from "../../golden/topic_match.json" with { type: "json" };
import { until } from "../../brokers/server.ts";
import { TestClock } from "../../../testing/clock.ts";
import { messageTo, onMongodb, queueOf } from "../../support/mongodb.ts";

function read(
  text: string,
  transportOptions: Readonly<Record<string, unknown>> = {},
) {
  const url = fillDefaults(parseUrl(text, { severalHosts: true }), {
    hostname: "127.0.0.1",
    ...(text.startsWith("mongodb+srv") ? {} : { port: 27017 }),
  });
  return readMongodbOptions(url, {
    heartbeat: 0,
    transportOptions,
    operationTimeout: 1,
    owner: "me",
    clock: new TestClock(),
  });
}

/** A URL, what the driver is told, and the database. */
const URLS: readonly (readonly [string, string, string])[] = [
  ["mongodb://", "mongodb://127.0.0.1:27017/", "kombu_default"],
  ["mongodb://localhost", "mongodb://localhost:27017/", "kombu_default"],
  ["mongodb://localhost/mydb", "mongodb://localhost:27017/mydb", "mydb"],
  ["mongodb://[::1]:1/a%2Cb", "mongodb://[::1]:1/a%2Cb", "a,b"],
  [
    "mongodb://u:p@h1:27018,h2:27019/mydb?replicaSet=rs",
    "mongodb://h1:27018,h2:27019/mydb",
    "mydb",
  ],
  ["mongodb+srv://u:p@cluster.x/db", "mongodb+srv://cluster.x/db", "db"],
];

for (const [url, uri, database] of URLS) {
  Deno.test(`readMongodbOptions() reads ${url}`, () => {
    const { dial } = read(url);
    assertEquals([dial.uri, dial.database], [uri, database]);
    assert(!JSON.stringify(dial).includes('"p"'));
  });
}

Deno.test("readMongodbOptions() reads MongoDB's own names in any case, and Kombu's units", () => {
  const { dial, settings } = read(
    "mongodb://h/?replicaset=rs&RETRYWRITES=true&w=2&appname=mine&visibility_timeout=7&polling_interval=0.5&ttl=1",
  );
  assertEquals([dial.replicaSet, dial.w, dial.appName], ["rs", 2, "mine"]);
  assertEquals(
    [settings.lease, settings.pollingInterval, settings.ttl],
    [7000, 500, true],
  );
  const { names } = read("mongodb://h", { messagesCollection: "m" }).settings;
  assertEquals([names.messages, names.topology, names.routing], [
    "m",
    "m.topology",
    "messages.routing",
  ]);
});

for (
  const [url, options] of [
    ["mongodb://h/?replicaset2=rs", {}],
    ["mongodb://h/?w=0", {}],
    ["mongodb://h/?fanout=x", {}],
    ["mongodb://h/", { visibilityTimeout: 10 }],
    ["mongodb://h/", { lease: 10_000 }],
  ] as const
) {
  Deno.test(`readMongodbOptions() refuses ${url} ${JSON.stringify(options)}`, () => {
    assertThrows(() => read(url, options), OptionError);
  });
}

Deno.test("formatPattern() writes what Kombu does, but for 5.7's new text of *", () => {
  for (const { binding_key, kombu_pattern } of golden.rows) {
    const newest = kombu_pattern.replaceAll(".*?[^\\.]", "[^\\.]+");
    assertEquals(formatPattern(binding_key), newest);
  }
});

onMongodb(
  "a connection reads what changed, and nothing of what was deleted before it came",
  async (database) => {
    const one = await database.connect();
    await one.channel.declareQueue(queueOf("kept"));
    await one.channel.declareQueue(queueOf("gone"));
    await one.channel.deleteQueue("gone");
    const read: unknown[] = [];
    const other = await database.connect({
      onCommand: (name, { find, filter }) => {
        if (name === "find" && find === "messages.topology") read.push(filter);
      },
    });
    const key = { type: "queue", name: "kept" } as const;
    const view = await other.store.topology.read(key);
    assert(view.topology.queue("kept") !== undefined);
    assertEquals(view.topology.queue("gone"), undefined);
    read.length = 0;
    assertEquals(await other.store.topology.read(key), view);
    assertEquals(read, [{ _id: "version" }]);
    await one.channel.deleteQueue("kept");
    const { topology } = await other.store.topology.read(key);
    assertEquals(topology.queue("kept"), undefined);
  },
);

onMongodb(
  "twenty connections that declare at once have all that each declared",
  async (database) => {
    const opened = await Promise.all(
      Array.from({ length: 20 }, () => database.connect()),
    );
    await Promise.all(opened.map(async ({ channel }, i) => {
      const name = `q${i}`;
      await channel.declareQueue(queueOf(name));
      await channel.bind({
        source: "amq.headers",
        destination: { kind: "queue", name },
        routingKey: "",
        arguments: { "x-match": "all", n: i },
      });
    }));
    const { channel } = await database.connect();
    for (let i = 0; i < 20; i++) {
      const outcome = await channel.publish({
        ...messageTo("", "", { headers: { n: i } }),
        exchange: "amq.headers",
      });
      assertEquals(outcome, { type: "accepted", queues: 1 });
    }
  },
);

onMongodb(
  "a change that a process left half-way when it died holds nobody up for long",
  async (database) => {
    const { channel } = await database.connect();
    await channel.declareQueue(queueOf("q"));
    await database.documents.collection<{ _id: string }>("messages.topology")
      .updateOne({ _id: "version" }, {
        $set: { lock: "a dead one's", locked_until: new Date(Date.now() - 1) },
      });
    await channel.declareQueue(queueOf("r"));
    const { store } = await database.connect();
    const view = await store.topology.read({ type: "queue", name: "r" });
    assert(view.topology.queue("r") !== undefined);
  },
);

onMongodb(
  "a connection that was lost in the middle of a declaration does not hold up the next one of its owner",
  async (database) => {
    const lost = await database.connect({ owner: "me" });
    await lost.channel.declareQueue(queueOf("q"));
    await database.documents.collection<{ _id: string }>("messages.topology")
      .updateOne({ _id: "version" }, {
        $set: {
          lock: "a lost one's",
          locked_by: "me",
          locked_until: new Date(Date.now() + 60_000),
        },
      });
    const { channel } = await database.connect({ owner: "me" });
    const deadline = performance.now() + 5000;
    await channel.declareQueue(queueOf("r"), { deadline });
  },
);

onMongodb(
  "a queue goes when nobody has used it for its time, with its bindings and messages",
  async (database) => {
    const clock = new TestClock();
    const { channel, store } = await database.connect({ clock });
    await channel.declareQueue(queueOf("q", { "x-expires": 60_000 }));
    await channel.bind({
      source: "amq.fanout",
      destination: { kind: "queue", name: "q" },
      routingKey: "",
      arguments: {},
    });
    await channel.publish(messageTo("q"));
    const isThere = async () => {
      await store.presence.heartbeat("me", 30_000);
      const [binding] = await database.find("messages.routing");
      const [message] = await database.find("messages");
      return binding !== undefined || message !== undefined;
    };
    clock.pass(50_000);
    await channel.checkQueue("q");
    clock.pass(50_000);
    assertEquals(await isThere(), true);
    const other = await database.connect({ clock: new TestClock() });
    const subscription = await other.channel.consume("q", () => {}, {
      prefetch: 1,
    });
    clock.pass(100_000);
    assertEquals(await isThere(), true);
    await subscription[Symbol.asyncDispose]();
    // Two may want to drop it at once: who comes second waits on this clock.
    const ticking = setInterval(() => clock.pass(1), 1);
    await until("the end of the queue", 30_000, async () => !await isThere());
    clearInterval(ticking);
  },
);
