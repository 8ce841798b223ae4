/** Fanout exchanges on Redis: into queues, and by PUB/SUB to and from those who are not ours. */

import { Redis } from "ioredis";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  type Message,
  Queue,
  UnroutableError,
} from "@dashi/mq";
import { Exchange } from "@dashi/mq";
import { connectTo, envelope, pause, Raw, test } from "../../support/redis.ts";
import { Worker } from "../../support/worker.ts";

const NEWS = new Exchange("news", { type: "fanout" });
const SEP = "\x06\x16";
const CHANNEL = "/0.news";
const bound = (
  name: string,
  options: ConstructorParameters<typeof Queue>[1] = {},
) => new Queue(name, { exchange: NEWS, ...options });

/** Collects what comes to a consumer, and acks it. */
class Taken implements AsyncDisposable {
  readonly payloads: unknown[] = [];
  readonly #running: Promise<void>;
  readonly #connection: Connection;

  constructor(connection: Connection, queue: Queue) {
    this.#connection = connection;
    this.#running = connection.consumer<unknown>(queue)
      .run(({ payload }: Message<unknown>) => {
        this.payloads.push(payload);
      }, { concurrency: 50 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
    await this.#running;
  }
}

/** Opens a connection that consumes, once it does. */
async function consume(
  url: string,
  queue: Queue,
  transportOptions: Readonly<Record<string, unknown>> = {},
): Promise<Taken> {
  const connection = connectTo(url, { transportOptions });
  const before = await consumers(connection, queue);
  const taken = new Taken(connection, queue);
  await until(async () => await consumers(connection, queue) > before);
  return taken;
}

async function consumers(
  connection: Connection,
  queue: Queue,
): Promise<number> {
  const [status] = await connection.declare([queue]);
  return status?.consumerCount ?? 0;
}

async function until(is: () => boolean | Promise<boolean>): Promise<void> {
  while (!await is()) await pause(10);
}

/** Listens as Kombu's consumers do. */
class Listener implements AsyncDisposable {
  readonly texts: string[] = [];
  readonly #redis: Redis;

  private constructor(redis: Redis) {
    this.#redis = redis;
    redis.on("pmessage", (_pattern, _channel, text) => this.texts.push(text));
  }

  static async open(port: number, pattern = CHANNEL): Promise<Listener> {
    const redis = new Redis({ port, disableClientInfo: true });
    await redis.psubscribe(pattern);
    return new Listener(redis);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#redis.once("end", resolve));
    this.#redis.disconnect();
    await ended;
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const sorted = (...taken: readonly Taken[]) =>
  taken.flatMap(({ payloads }) => payloads)
    .sort((a, b) => Number(a) - Number(b));

test("fanout: a message waits in a queue that nobody consumes, and mandatory is told the truth", async (server) => {
  await using connection = connectTo(server.url);
  const producer = connection.producer<number>({ exchange: NEWS });
  await connection.declare([NEWS]);
  await assertRejects(
    () => producer.publish(0, { mandatory: true }),
    UnroutableError,
  );
  await connection.declare([bound("mail")]);
  await producer.publish(1, { mandatory: true });
  await producer.publish(2, { routingKey: "any" });
  const [status] = await connection.declare([bound("mail")]);
  assertEquals(status?.messageCount, 2);
  await using mail = await consume(server.url, bound("mail"));
  await until(() => mail.payloads.length === 2);
  assertEquals(mail.payloads, [1, 2]);
});

test("fanout: those who share a queue share its messages, and other queues have theirs", async (server) => {
  await using one = await consume(server.url, bound("mail"));
  await using two = await consume(server.url, bound("mail"));
  await using log = await consume(server.url, bound("log"));
  await using connection = connectTo(server.url);
  const producer = connection.producer<number>({ exchange: NEWS });
  await Promise.all(numbers(200).map((i) => producer.publish(i)));
  await until(() => log.payloads.length === 200);
  await until(() => one.payloads.length + two.payloads.length >= 200);
  assertEquals(sorted(one, two), numbers(200));
  assertEquals(log.payloads, numbers(200));
});

test("fanout: messages that others publish come once into each of our queues, in order, also of those that nobody consumes", async (server) => {
  await using raw = new Raw(server.port);
  await using one = await consume(server.url, bound("mail"));
  await using two = await consume(server.url, bound("mail"));
  await using log = await consume(server.url, bound("log"));
  await using connection = connectTo(server.url);
  await connection.declare([bound("later", { routingKey: "key" })]);
  await until(async () => await raw.number("PUBSUB", "NUMPAT") === 2);
  for (const i of numbers(200)) {
    const channel = i % 2 === 0 ? CHANNEL : `${CHANNEL}/a.b`;
    assertEquals(await raw.number("PUBLISH", channel, envelope(i)), 3);
  }
  await until(() => log.payloads.length >= 200);
  await until(() => one.payloads.length + two.payloads.length >= 200);
  await using later = await consume(server.url, bound("later"));
  await until(() => later.payloads.length >= 200);
  assertEquals(sorted(one, two), numbers(200));
  assertEquals([log.payloads, later.payloads], [numbers(200), numbers(200)]);
});

test("fanout: Kombu's consumers get what we publish by PUB/SUB, with a key too, and their lists get nothing", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await raw.send("SADD", "_kombu.binding.news", `${SEP}${SEP}theirs`);
  await connection.declare([NEWS]);
  const producer = connection.producer<number>({ exchange: NEWS });
  await assertRejects(
    () => producer.publish(0, { mandatory: true }),
    UnroutableError,
  );
  await using listener = await Listener.open(server.port, `${CHANNEL}*`);
  await producer.publish(1, { mandatory: true });
  await connection.declare([bound("mail", { maxLength: 10 }), bound("log")]);
  await producer.publish(2, { routingKey: "key", expiration: 60_000 });
  await until(() => listener.texts.length >= 2);
  const bodies = listener.texts.map((text) => JSON.parse(text))
    .map(({ body, properties }) => [atob(body), properties.delivery_tag]);
  // In the eyes of 0.1.0 they have expired.
  assert(bodies.every(([, tag]) => /^[\w-]{36};expires=1;put=1$/.test(tag)));
  assertEquals(bodies.map(([body]) => body), ["1", "2"]);
  assertEquals(await raw.number("EXISTS", "theirs"), 0);
  assertEquals(await raw.number("LLEN", "mail"), 1);
  assertEquals(await raw.number("LLEN", "log"), 1);
});

test("fanout: a delayed message is announced when it is due", async (server) => {
  await using connection = connectTo(server.url);
  await using listener = await Listener.open(server.port);
  await using mail = await consume(server.url, bound("mail"));
  await using log = await consume(server.url, bound("log"));
  const producer = connection.producer<string>({ exchange: NEWS });
  const began = performance.now();
  await producer.publish("late", { delay: 1500 });
  await producer.publish("soon");
  const took = performance.now() - began;
  await until(() => listener.texts.length === 2);
  const heard = listener.texts.map((text) => atob(JSON.parse(text).body));
  // A machine that stood still for so long publishes the second when the first is due.
  if (took > 1400) heard.sort().reverse();
  assertEquals(heard, ["soon", "late"]);
  await until(() => mail.payloads.length === 2 && log.payloads.length === 2);
});

test("fanout: a consumer that listens for itself is left the messages that others publish, and takes ours from the list", async (server) => {
  await using raw = new Raw(server.port);
  await using old = await consume(server.url, bound("mail"), {
    fanout: "pubsub",
  });
  await using log = await consume(server.url, bound("log"));
  await using connection = connectTo(server.url);
  const producer = connection.producer<number>({ exchange: NEWS });
  await until(async () => await raw.number("PUBSUB", "NUMPAT") === 2);
  for (const i of numbers(20)) {
    if (i % 2 === 0) await producer.publish(i);
    else await raw.send("PUBLISH", CHANNEL, envelope(i));
  }
  await until(() => log.payloads.length >= 20 && old.payloads.length >= 20);
  assertEquals([sorted(old), sorted(log)], [numbers(20), numbers(20)]);
});

test("fanout: messages that others publish keep to the queue's rules", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await connection.declare([
    bound("timed", { messageTtl: 60_000 }),
    bound("short", { maxLength: 2 }),
    bound("full", {
      maxLength: 1,
      arguments: { "x-overflow": "reject-publish" },
    }),
    bound("letters", { maxLength: 1, deadLetterExchange: "" }),
  ]);
  await using log = await consume(server.url, bound("log"));
  for (const i of numbers(3)) {
    const properties = { priority: i === 0 ? 9 : 0, expiration: "90000" };
    await raw.send("PUBLISH", CHANNEL, envelope(i, properties));
  }
  await until(() => log.payloads.length === 3);
  const [timed = ""] = await raw.texts("LRANGE", "timed", 0, -1);
  const at = Number(/;expires=(\d+)"}}$/.exec(timed)?.[1]);
  const left = at - Date.now();
  assert(left > 30_000 && left < 61_000, timed);
  assertEquals(await raw.number("LLEN", `timed${SEP}9`), 1);
  const sizes = ["short", "full", "letters"].map(async (name) =>
    await raw.number("LLEN", name) + await raw.number("LLEN", `${name}${SEP}9`)
  );
  // No connection that dead-letters is there: nothing is lost.
  assertEquals(await Promise.all(sizes), [2, 1, 3]);
});

test("fanout: an entry that cannot be read goes into quarantine, and one without a name comes all the same", async (server) => {
  await using raw = new Raw(server.port);
  await using one = await consume(server.url, bound("mail"));
  await using two = await consume(server.url, bound("mail"));
  await raw.send("PUBLISH", CHANNEL, "no envelope");
  const nameless = envelope("x").replace(/, "delivery_tag": "[\w-]+"/, "");
  await raw.send("PUBLISH", CHANNEL, nameless);
  await until(() => one.payloads.length + two.payloads.length > 0);
  await until(async () => await raw.number("LLEN", "dashi.malformed.mail") > 0);
  assertEquals(await raw.number("LLEN", "dashi.malformed.mail"), 1);
});

test(
  "fanout: a message that finds no memory is put when there is room again",
  async (server) => {
    await using raw = new Raw(server.port);
    await using mail = await consume(server.url, bound("mail"));
    await using listener = await Listener.open(server.port);
    await raw.send("CONFIG", "SET", "maxmemory", "1mb");
    await raw.send("PUBLISH", CHANNEL, envelope(1));
    await raw.send("PUBLISH", CHANNEL, envelope(2));
    await until(() => listener.texts.length === 2);
    assertEquals(mail.payloads, []);
    await raw.send("CONFIG", "SET", "maxmemory", "0");
    await until(() => mail.payloads.length >= 2);
    assertEquals(mail.payloads, [1, 2]);
  },
  { arguments: ["--maxmemory-policy", "noeviction"] },
);

test("fanout: a user without PUB/SUB has queues all the same", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send(
    ...["ACL", "SETUSER", "few", "on", ">pw", "~*", "resetchannels"] as const,
    ...["+@all", "-publish", "-psubscribe", "-subscribe"],
  );
  const url = server.url.replace("//", "//few:pw@");
  await using mail = await consume(url, bound("mail"));
  await using connection = connectTo(url);
  const producer = connection.producer<number>({ exchange: NEWS });
  await producer.publish(1, { mandatory: true });
  await producer.publish(2, { delay: 50 });
  await until(() => mail.payloads.length === 2);
  assertEquals(mail.payloads, [1, 2]);
});

test("fanout: an announcement says to consumers of 0.1.0 that it has been where they would dead-letter it", async (server) => {
  const letters = bound("mail", {
    deadLetterExchange: "",
    deadLetterRoutingKey: "dead",
  });
  await using _old = await consume(server.url, letters, { fanout: "pubsub" });
  await using listener = await Listener.open(server.port);
  await using connection = connectTo(server.url);
  await connection.declare([letters, bound("other", { maxLength: 9 })]);
  const producer = connection.producer<string>({ exchange: NEWS });
  await producer.publish("one", { headers: { mine: 1 } });
  await producer.publish("late", { delay: 50 });
  await until(() => listener.texts.length === 2);
  const headers = listener.texts.map((text) => JSON.parse(text).headers);
  const deaths = [{ count: 1, queue: "dead", reason: "expired" }];
  assertEquals(headers.map((each) => each["x-death"]), [deaths, deaths]);
  assertEquals(headers[0].mine, 1);
});

test("fanout: two processes that share a queue get each message once, and a queue of nobody's keeps all", async (server) => {
  await using connection = connectTo(server.url);
  const [shared, kept] = [bound("shared"), bound("kept")];
  await connection.declare([shared, kept]);
  const work = {
    url: server.url,
    queue: shared.name,
    mode: "consume",
  } as const;
  await using one = new Worker(work);
  await using two = new Worker(work);
  const workers = [one, two];
  const producer = connection.producer<number>({ exchange: NEWS });
  const all = Array.from({ length: 20 }, (_, i) => i);
  await Promise.all(all.map((each) => producer.publish(each)));
  const got = () =>
    workers.flatMap(({ words }) => words.flatMap(({ got }) => got ?? []));
  await until(() => got().length >= all.length);
  assertEquals(got().toSorted((a, b) => a - b), all);
  assertEquals((await connection.declare(kept)).messageCount, all.length);
});

for (const fanout of ["queue", "pubsub"]) {
  test(
    `fanout "${fanout}": what is gone of too much that others publish is told, and the rest comes`,
    async (server) => {
      await using raw = new Raw(server.port);
      await using connection = connectTo(server.url, {
        transportOptions: { fanout },
      });
      const queue = bound("flooded");
      const dropped = Promise.withResolvers<string>();
      const told = (async () => {
        for await (const event of connection.events()) {
          if (event.type !== "dropped") continue;
          dropped.resolve(`${event.queue}: ${event.error.message}`);
          return;
        }
      })();
      const messages = connection.consumer<unknown>(queue, { prefetch: 1 })
        [Symbol.asyncIterator]();
      const first = messages.next();
      while (await raw.number("PUBLISH", CHANNEL, envelope("first")) === 0) {
        await pause(20);
      }
      const { value: held } = await first;
      // Nothing is taken out of the process: one is held, or nothing can be put.
      await raw.send("CONFIG", "SET", "maxmemory", 1);
      await raw.send(
        ...[
          "EVAL",
          "for i = 1, 10010 do redis.call('PUBLISH', KEYS[1], ARGV[1]) end",
        ] as const,
        ...[1, CHANNEL, envelope("flood")],
      );
      assertEquals(
        await dropped.promise,
        'flooded: A message that was published by PUB/SUB to queue "flooded" is dropped: 10000 wait in this process already',
      );
      await told;
      await raw.send("CONFIG", "SET", "maxmemory", 0);
      await held?.ack();
      let next = await messages.next();
      while (next.value?.payload === "first") {
        await next.value.ack();
        next = await messages.next();
      }
      assertEquals(next.value?.payload, "flood");
      await messages.return?.();
    },
    { patience: 180_000 },
  ); // ten thousand messages, each claimed by itself
}
