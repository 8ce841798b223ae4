/** The rights that the pages of the transports name are enough, and those of a publisher no more than that. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  type Connection,
  type ConnectionOptions,
  createConnection,
  Exchange,
  Queue,
} from "@dashi/mq";
import { isInstalled as hasNats, startNats } from "./brokers/nats.ts";
import { findRabbitmq } from "./brokers/rabbitmq.ts";
import { amqpPlace, erlang } from "./support/amqp_place.ts";
import { AwsRelay, refusal } from "./support/aws_relay.ts";
import { connect } from "@nats-io/transport-node";
import { Redis } from "ioredis";

const ROOT = new URL("../", import.meta.url);
const QUIET: ConnectionOptions = { onUnhandled() {} };

/** The lines of a block of a page, by the roles that they begin with. */
function rightsOf(page: string): ReadonlyMap<string, string> {
  const text = Deno.readTextFileSync(
    new URL(`docs/transports/${page}.md`, ROOT),
  );
  const block = /<!-- rights: .*?-->\n+```\w*\n(.*?)```/s.exec(text)?.[1];
  assert(block !== undefined, `${page}.md has a block of rights`);
  const lines = block.trim().split("\n").map((line) => line.split(/ {2,}/));
  return new Map(lines.map(([role = "", ...rest]) => [role, rest.join("  ")]));
}

/** Declares what it needs, has a message fail twice, and finds it among the dead letters. */
async function work(connection: Connection, prefix = ""): Promise<void> {
  const orders = new Queue<number>(`${prefix}orders`, {
    deadLetter: `${prefix}orders.dead`,
  });
  await connection.send(orders, 7);
  const consumer = connection.consumer(orders);
  const dead = connection.consumer<number>(`${prefix}orders.dead`);
  const failing = consumer.run(() => {
    throw new Error("it fails");
  }, { retry: { attempts: 2, backoff: 1000 } });
  await dead.run(({ payload }) => {
    assertEquals(payload, 7);
    void dead.cancel();
    void consumer.cancel();
  });
  await failing;
}

const hasRabbitmq = findRabbitmq() !== undefined;
Deno.test({
  name: `amqp: the permissions that its page names are enough${
    hasRabbitmq ? "" : " (RabbitMQ is not installed)"
  }`,
  ignore: !hasRabbitmq,
  fn: async () => {
    await using place = await amqpPlace();
    await using owner = createConnection(place.url);
    const events = new Exchange("events", { type: "topic" });
    await owner.declare(new Queue("orders", { deadLetter: "orders.dead" }));
    await owner.declare(events);
    await owner.declare(
      new Queue("mails", { exchange: events, routingKey: "#" }),
    );
    const users = "rabbit_auth_backend_internal";
    const by = erlang("the tests");
    for (const [role, run] of Object.entries(RABBITMQ)) {
      const rights = rightsOf("amqp").get(role)?.split("  ") ?? [];
      assertEquals(rights.length, 3, role);
      const user = crypto.randomUUID();
      const name = erlang(user);
      const set = (regexes: readonly string[]) =>
        place.ask(
          `ok = ${users}:set_permissions(${
            [user, place.vhost, ...regexes].map(erlang).join(", ")
          }, ${by})`,
        );
      await place.ask(
        `ok = ${users}:add_user(${name}, ${erlang("pw")}, ${by})`,
      );
      try {
        await set(rights);
        const url = place.url.replace("guest:guest", `${user}:pw`);
        {
          await using connection = createConnection(url, QUIET);
          await run(connection);
        }
        if (!role.startsWith("publish")) continue;
        await set(["^$", "^$", "^$"]);
        await using connection = createConnection(url, QUIET);
        await assertRejects(() => run(connection), AccessRefusedError);
      } finally {
        await place.ask(`ok = ${users}:delete_user(${name}, ${by})`);
      }
    }
  },
});

const RABBITMQ: Readonly<Record<string, (it: Connection) => Promise<void>>> = {
  "publish to the queue": async (connection) => {
    await connection.send("orders", 1);
  },
  "publish to the exchange": async (connection) => {
    const producer = connection.producer({ exchange: "events" });
    await producer.publish(1, { routingKey: "order.paid" });
  },
  "publish with a delay": async (connection) => {
    await connection.send("orders", 2, { delay: 1000 });
  },
  "consume, declare nothing": async (connection) => {
    const consumer = connection.consumer<number>("orders");
    await consumer.run(({ payload }) => {
      if (payload === 2) void consumer.cancel();
    });
  },
  "a worker": (connection) => work(connection),
};

const redisUrl = Deno.env.get("DASHI_TEST_REDIS_URL");
Deno.test({
  name: `redis: the commands that its page names are enough${
    redisUrl === undefined ? " (there is no Redis)" : ""
  }`,
  ignore: redisUrl === undefined,
  fn: async () => {
    const url = redisUrl ?? "";
    const user = `rights-${crypto.randomUUID()}`;
    const redis = new Redis(url, { protocol: 2 });
    try {
      for (const [role, prefix] of [["all keys", ""], ["a prefix", user]]) {
        const rule = rightsOf("redis").get(role ?? "") ?? "";
        const [, , , ...words] = rule.replaceAll("app:", `${prefix}:`)
          .split(" ");
        assert(words.includes("on"), role);
        await redis.call("ACL", "SETUSER", user, "reset", ...words);
        await using connection = createConnection(
          url.replace("//", `//${user}:secret@`),
          {
            ...QUIET,
            transportOptions: prefix === ""
              ? {}
              : { globalKeyPrefix: `${prefix}:` },
          },
        );
        await work(connection, `${user}-`);
        const news = new Exchange(`${user}-news`, { type: "fanout" });
        const mails = new Queue(`${user}-mails`, { exchange: news });
        const producer = connection.producer({
          exchange: news,
          declare: [mails],
        });
        await producer.publish("hello");
        assertEquals((await connection.queueStatus(mails)).messageCount, 1);
        for (const each of [mails, `${user}-orders`, `${user}-orders.dead`]) {
          await connection.delete(each);
        }
        await connection.delete(news);
      }
    } finally {
      await redis.call("ACL", "DELUSER", user);
      const left = await redis.keys(`${user}:*`);
      if (left.length > 0) await redis.del(left);
      const ended = new Promise((resolve) => redis.once("end", resolve));
      await redis.quit();
      await ended;
    }
  },
});

/** IAM has one right for an action and for a batch of it. */
const rightOf = (action: string) => action.replace(/Batch$/, "");

/** What handlers do that take long, or put messages back. */
const ON_OCCASION: ReadonlySet<string> = new Set([
  "ChangeMessageVisibility",
  "DeleteMessage",
]);

const SQS: Readonly<
  Record<string, (it: Connection, prefix: string) => Promise<void>>
> = {
  "publish": async (connection, prefix) => {
    await connection.send(`${prefix}orders`, 1);
  },
  "publish to a fanout exchange": async (connection, prefix) => {
    const news = new Exchange(`${prefix}news`, { type: "fanout" });
    const producer = connection.producer({ exchange: news });
    await producer.publish(1, { mandatory: false });
  },
  "consume, declare nothing": async (connection, prefix) => {
    const consumer = connection.consumer<number>(`${prefix}orders`);
    await consumer.run(() => void consumer.cancel());
  },
  "a worker": (connection, prefix) => work(connection, prefix),
  "bind to a fanout exchange": async (connection, prefix) => {
    const news = new Exchange(`${prefix}news`, { type: "fanout" });
    const mails = new Queue(`${prefix}mails`, { exchange: news });
    await connection.declare(mails);
  },
  "look in": async (connection, prefix) => {
    const { ready } = await connection.inspect().queue(`${prefix}orders`);
    assertEquals(typeof ready, "number");
    for await (const { name } of connection.inspect().queues()) {
      if (name === `${prefix}orders`) return;
    }
    throw new Error("the queue is not listed");
  },
  "delete": async (connection, prefix) => {
    await connection.purge(`${prefix}mails`);
    await connection.delete(`${prefix}mails`);
  },
};

const sqsUrl = Deno.env.get("DASHI_TEST_SQS_URL");
Deno.test({
  name: `sqs: the actions that its page names are enough, and all are needed${
    sqsUrl === undefined ? " (there is no SQS)" : ""
  }`,
  ignore: sqsUrl === undefined,
  fn: async () => {
    await using relay = new AwsRelay(sqsUrl ?? "");
    const prefix = `rights-${crypto.randomUUID().slice(0, 8)}-`;
    const url = relay.urlOf("?wait_time_seconds=1&get_wait_time_seconds=0");
    {
      await using owner = createConnection(url);
      await owner.declare(new Queue(`${prefix}orders`));
    }
    const rights = rightsOf("sqs");
    for (const [role, run] of Object.entries(SQS)) {
      const allowed = new Set(
        rights.get(role)?.split(/,? /).map((each) => each.split(":")[1]),
      );
      const used = new Set<string>();
      relay.intercept = ({ action }) => {
        used.add(rightOf(action));
        return allowed.has(rightOf(action))
          ? undefined
          : refusal(403, "AccessDenied");
      };
      {
        await using connection = createConnection(url, QUIET);
        await run(connection, prefix);
      }
      relay.intercept = () => undefined;
      const unused = [...allowed].filter((each) => !used.has(each ?? ""));
      assertEquals(unused.filter((each) => !ON_OCCASION.has(each ?? "")), []);
    }
    await using owner = createConnection(url);
    for (const name of ["orders", "orders.dead"]) {
      await owner.delete(new Queue(prefix + name));
    }
    await owner.delete(new Exchange(`${prefix}news`, { type: "fanout" }));
  },
});

const couchdbUrl = Deno.env.get("DASHI_TEST_COUCHDB_URL");
Deno.test({
  name: `couchdb: a member of a database that is there needs no more${
    couchdbUrl === undefined ? " (there is no CouchDB)" : ""
  }`,
  ignore: couchdbUrl === undefined,
  fn: async () => {
    const url = new URL((couchdbUrl ?? "").replace("couchdb:", "http:"));
    const name = `rights-${crypto.randomUUID()}`;
    const ask = async (method: string, path: string, body?: object) => {
      const response = await fetch(new URL(`/${path}`, url.origin), {
        method,
        headers: {
          "authorization": `Basic ${btoa(`${url.username}:${url.password}`)}`,
          "content-type": "application/json",
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const answer = await response.json();
      assert(response.ok, JSON.stringify(answer));
      return answer;
    };
    const user = `_users/org.couchdb.user:${name}`;
    const { rev } = await ask("PUT", user, {
      name,
      password: "pw",
      roles: [],
      type: "user",
    });
    try {
      await ask("PUT", name);
      await ask("PUT", `${name}/_security`, {
        admins: { names: [], roles: [] },
        members: { names: [name], roles: [] },
      });
      {
        await using connection = createConnection(
          `couchdb://${name}:pw@${url.host}/${name}`,
          QUIET,
        );
        await work(connection);
      }
      await ask("DELETE", name);
    } finally {
      await ask("DELETE", `${user}?rev=${rev}`);
    }
  },
});

const NATS: Readonly<Record<string, (it: Connection) => Promise<void>>> = {
  "publish": async (connection) => {
    await connection.send("orders", 1);
  },
  "a worker": async (connection) => {
    await work(connection, "work-");
    const orders = connection.queue<number>("orders");
    for (const each of [2, 3]) await connection.send("orders", each);
    const [first, second] = [await orders.get(), await orders.get()];
    await first?.requeue();
    // They are told apart by asking who holds what.
    const info = await connection.inspect().queue("orders");
    assertEquals([info?.ready, info?.unacked], [2, 1]);
    assertEquals((await orders.peek()).length, 2);
    assertEquals(await orders.purge(), 2);
    await second?.ack();
    await connection.delete(new Queue("orders"));
  },
};

/** Whether a pattern of NATS' takes a subject. */
function covers(pattern: string, subject: string): boolean {
  const tokens = subject.split(".");
  return pattern.split(".").every((each, i) =>
    each === ">" || each === tokens[i] || each === "*" && i < tokens.length
  );
}

Deno.test({
  name:
    `nats: the permissions that its page names are enough, and all are used${
      hasNats() ? "" : " (NATS is not installed)"
    }`,
  ignore: !hasNats(),
  fn: async () => {
    const rights = new Map(
      [...rightsOf("nats")].map(([role, line]) => {
        const [publish = [], subscribe = []] = line.split("  ")
          .map((each) => each.split(", "));
        return [role, { publish, subscribe }];
      }),
    );
    assertEquals([...rights.keys()], Object.keys(NATS));
    const users = [...rights].map(([role, permissions]) =>
      JSON.stringify({ user: role, password: "pw", permissions })
    );
    const server = await startNats({
      syncs: false,
      config: `authorization: { users: [
  { user: owner, password: pw }
  ${users.join("\n  ")}
] }`,
    });
    try {
      const urlOf = (user: string) =>
        `${server.url.replace("//", `//${encodeURIComponent(user)}:pw@`)}/shop`;
      await using owner = createConnection(urlOf("owner"), QUIET);
      // Who finds one that belongs to a connection looks whether that is alive.
      await owner.declare(new Queue("own", { exclusive: true }));
      await owner.declare(new Queue("orders"));
      const raw = await connect({
        servers: new URL(server.url).host,
        user: "owner",
        pass: "pw",
      });
      const seen = new Set<string>();
      raw.subscribe(">", {
        callback: (_, { subject }) => void seen.add(subject),
      });
      for (const [role, run] of Object.entries(NATS)) {
        seen.clear();
        await raw.flush();
        {
          await using connection = createConnection(urlOf(role), QUIET);
          await run(connection);
        }
        await raw.flush();
        const unused = rights.get(role)?.publish.filter((pattern) =>
          ![...seen].some((subject) => covers(pattern, subject))
        );
        assertEquals(unused, [], role);
      }
      await raw.close();
    } finally {
      await server.stop();
    }
  },
});
