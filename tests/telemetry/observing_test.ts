import { assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  type Middleware,
  type MiddlewareInput,
  Queue,
  UnroutableError,
} from "@dashi/mq";
import { type Golden, Told } from "../conformance/tracing_stage.ts";

/** The metrics that each message is told by. */
const METRICS = [
  "messaging.client.sent.messages",
  "messaging.client.consumed.messages",
  "messaging.client.operation.duration",
  "messaging.process.duration",
  "dashi.in_flight",
];

/** Each hook, and none of them changes anything. */
const INERT: Middleware = {
  publish: (_, next) => next(),
  receive: () => {},
  process: (_, next) => next(),
  settle: (_, next) => next(),
};

/** A program whose calls end in each way, and what is told of it. */
async function told(
  name: string,
  use: (connection: Connection, telemetry: MiddlewareInput) => void,
): Promise<{ spans: readonly Golden[]; metrics: readonly unknown[] }> {
  const told = await Told.make();
  await using connection = createConnection(`memory://${name}`, {
    onUnhandled: () => {},
  });
  use(connection, await told.middleware());
  const [orders, others] = [new Queue<number>("orders"), new Queue("others")];
  const producer = connection.producer<number>({ declare: [orders, others] });
  for (const id of [1, 2, 3, 4, 5]) {
    await producer.publish(id, { routingKey: "orders", headers: { id } });
  }
  await assertRejects(
    () => producer.publish(6, { routingKey: "nowhere", mandatory: true }),
    UnroutableError,
  );
  let calls = 0;
  const end = new AbortController();
  await connection.consumer(orders).run((message) => {
    const { payload, attempt } = message;
    if (++calls === 7) end.abort();
    if (payload === 1) return producer.publish(7, { routingKey: "others" });
    if (payload === 2) return message.reject();
    if (payload === 3 && attempt === 1) throw new RangeError("at once");
    if (payload === 4 && attempt === 1) return later(new TypeError("later"));
  }, { signal: end.signal, retry: { attempts: 2, backoff: 0 } });
  const metrics = [];
  for (const metric of METRICS) metrics.push(await told.metric(metric));
  return { spans: await told.golden(0), metrics };
}

async function later(error: Error): Promise<void> {
  await Promise.resolve();
  throw error;
}

Deno.test("telemetry is told the same where it is the only middleware, whose calls take a shorter way", async () => {
  const alone = await told("alone", (connection, telemetry) => {
    connection.use(telemetry);
  });
  const outer = await told("outer", (connection, telemetry) => {
    connection.use(telemetry);
    connection.use(INERT);
  });
  const inner = await told("inner", (connection, telemetry) => {
    connection.use(INERT);
    connection.use(telemetry);
  });
  const names = alone.spans.map(({ name }) => name);
  assertEquals(
    ["publish", "process", "ack", "reject", "retry"].map((verb) =>
      names.filter((each) => each.startsWith(verb)).length
    ),
    [7, 7, 4, 1, 2],
  );
  assertEquals(
    alone.spans.flatMap(({ attributes }) => attributes["error.type"] ?? []),
    ["message-unroutable", "RangeError", "TypeError"],
  );
  assertEquals(outer, alone);
  assertEquals(inner, alone);
});

Deno.test("a copy of telemetry's middleware with a hook of one's own has that hook called", async () => {
  const seen: string[] = [];
  const { spans } = await told("copied", (connection, telemetry) => {
    connection.use((host) => {
      const made = typeof telemetry === "function"
        ? telemetry(host)
        : telemetry;
      return {
        ...made,
        publish(message, next) {
          seen.push(message.routingKey);
          return next();
        },
      };
    });
  });
  assertEquals(seen.length, 7);
  assertEquals(spans.filter(({ name }) => name.startsWith("publish")), []);
});

Deno.test("a middleware that is used while a handler runs sees what comes then", async () => {
  const told = await Told.make();
  await using connection = createConnection("memory://joining");
  connection.use(await told.middleware());
  const orders = new Queue<number>("orders");
  for (const id of [1, 2]) await connection.send(orders, id);
  const seen: string[] = [];
  const consumer = connection.consumer(orders);
  await consumer.run(({ payload }) => {
    if (payload === 2) return void consumer.cancel();
    connection.use({
      settle: ({ action, message }, next) => {
        seen.push(`${action} ${message.payload}`);
        return next();
      },
    });
  });
  assertEquals(seen, ["ack 1", "ack 2"]);
  assertEquals(told.names().filter((name) => name === "ack orders").length, 2);
});
