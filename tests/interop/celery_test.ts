// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import { until } from "../brokers/server.ts";
import { unlessItStoodStill } from "../support/standing_still.ts";
import { ALL } from "../support/targets.ts";
import { CeleryWorker, type TaskMessage, taskMessage } from "./celery.ts";
import { AMQP, CELERY_REDIS as REDIS, MONGODB, SQS } from "./meetings.ts";
import { Peer } from "./peer.ts";
import { providePython } from "./python.ts";
import { inTime, type Meeting, Stage, take } from "./stage.ts";

const brokers = [AMQP, REDIS];
const all = [...brokers, MONGODB, SQS];
/** A worker takes three seconds of a processor to start. */
const late: readonly Meeting[] = ALL ? [] : [MONGODB, SQS];
const python = all.some(({ broker }) => "url" in broker)
  ? await providePython()
  : { reason: "there is no broker" };

interface Celery {
  readonly stage: Stage;
  readonly python: string;
  /** The Redis that has the results. */
  readonly backend: string;
}

/** Registers a test for brokers; what needs results needs Redis for them. */
function celery(
  name: string,
  needsBackend: boolean,
  run: (celery: Celery) => Promise<void>,
  meetings: readonly Meeting[] = brokers,
): void {
  for (const meeting of meetings) {
    const { broker } = meeting;
    const reason = "reason" in broker
      ? broker.reason
      : "reason" in python
      ? python.reason
      : needsBackend && late.includes(meeting)
      ? "run it by deno task interop"
      : needsBackend && "reason" in REDIS.broker
      ? `no Redis for the results: ${REDIS.broker.reason}`
      : undefined;
    Deno.test({
      name: `${meeting.name} with Celery: ${name}${
        reason === undefined ? "" : ` (${reason})`
      }`,
      ignore: reason !== undefined,
      async fn() {
        if ("reason" in broker || "reason" in python) return;
        await unlessItStoodStill(1000, async () => {
          await using peer = new Peer(
            python.python,
            broker.url,
            meeting.theirs,
          );
          const stage = new Stage(meeting, broker.url, python.python, peer);
          try {
            // On MongoDB we and Kombu make the same collection; a worker of Celery ends where
            // another makes it between its look and its own attempt.
            await stage.connection.connect();
            await inTime(run({
              stage,
              python: python.python,
              backend: "url" in REDIS.broker ? REDIS.broker.url : "",
            }));
          } finally {
            await stage.end();
          }
        });
      },
    });
  }
}

/** The queue that Celery makes of a name: an exchange and a key of the same name. */
function celeryQueue({ stage }: Celery): Queue {
  const name = `dashi-celery-${crypto.randomUUID()}`;
  const exchange = stage.adopt(new Exchange(name));
  return stage.adopt(new Queue(name, { exchange, routingKey: name }));
}

/** Waits for what the worker wrote. */
async function resultOf(
  results: Peer,
  { correlationId }: TaskMessage,
): Promise<Record<string, unknown>> {
  let text: unknown;
  await until("the result", 60_000, async () => {
    text = await results.redis("GET", `celery-task-meta-${correlationId}`);
    return text !== null;
  });
  await results.redis("DEL", `celery-task-meta-${correlationId}`);
  return JSON.parse(String(text));
}

celery("a worker runs the tasks that we publish", true, async (given) => {
  const { stage, python, backend } = given;
  const queue = celeryQueue(given);
  await using worker = new CeleryWorker(python, {
    broker: stage.url,
    backend,
    queue: queue.name,
    transportOptions: stage.meeting.theirs ?? {},
  });
  // Beside the broker's, which may be another.
  await using results = new Peer(python, backend);
  const producer = stage.connection.producer({ declare: [queue] });
  const send = async (message: TaskMessage, options = {}) => {
    const { payload, headers, correlationId } = message;
    await producer.publish(payload, {
      routingKey: queue.name,
      headers,
      correlationId,
      ...options,
    });
    return await resultOf(results, message);
  };
  await worker.ready();

  const add = taskMessage("dashi.add", [2, 3]);
  const sum = await send(add);
  assertEquals([sum.status, sum.result, sum.task_id], [
    "SUCCESS",
    5,
    add.correlationId,
  ]);

  const kwargs = { text: "é😀", big: 2 ** 53 - 1, list: [null, true, 1.5] };
  for (
    const options of [
      {},
      { serializer: "yaml" },
      { serializer: "msgpack" },
      { compression: "gzip" },
      { compression: "brotli" },
      { compression: "zstd" },
      { exchange: queue.name },
      ...("priority" in (stage.meeting.lacks ?? {}) ? [] : [{ priority: 5 }]),
    ]
  ) {
    const echo = taskMessage("dashi.echo", ["a"], kwargs);
    const { status, result } = await send(echo, options);
    assertEquals([options, status, result], [options, "SUCCESS", {
      args: ["a"],
      kwargs,
      lang: "js",
      custom: null,
    }]);
  }

  const failed = await send(taskMessage("dashi.fail", ["boom"]));
  assertEquals([failed.status, failed.result], ["FAILURE", {
    exc_type: "ValueError",
    exc_message: ["boom", 7],
    exc_module: "builtins",
  }]);

  const late = new Date(Date.now() - 1000).toISOString();
  const expired = await send(
    taskMessage("dashi.add", [1, 1], {}, { expires: late }),
  );
  assertEquals(expired.status, "REVOKED");

  const unknown = await send(taskMessage("dashi.unknown", []));
  assertEquals(unknown.status, "FAILURE");
  const status = await stage.connection.declare(queue);
  assertEquals(status.messageCount, 0);
}, all);

celery(
  "we read the task of a client, and answer it by its rpc backend",
  false,
  async (given) => {
    const { stage: { connection, peer } } = given;
    const queue = celeryQueue(given);
    await connection.declare(queue);
    const id = await peer.sendTask({
      backend: "rpc://",
      name: "dashi.mul",
      args: [6, 7],
      kwargs: { note: "é" },
      queue: queue.name,
      priority: 3,
    });
    const [message] = await take(connection, queue, 1);
    assertEquals(message?.payload, [[6, 7], { note: "é" }, {
      callbacks: null,
      errbacks: null,
      chain: null,
      chord: null,
    }]);
    const { headers, properties } = message ?? {};
    assertEquals(
      [headers?.task, headers?.id, headers?.lang, headers?.retries],
      [
        "dashi.mul",
        id,
        "py",
        0,
      ],
    );
    assertEquals(headers?.timelimit, [null, null]);
    assertEquals([properties?.correlationId, properties?.priority], [id, 3]);
    const replyTo = properties?.replyTo ?? "";
    assertMatch(replyTo, /^[0-9a-f-]{36}$/);

    await connection.producer().publish({
      task_id: id,
      status: "SUCCESS",
      result: 42,
      traceback: null,
      children: [],
    }, { routingKey: replyTo, correlationId: id, persistent: false });
    assertEquals(await peer.result(), { $int: "42" });
  },
);

celery(
  "a task that a client sends compressed is read",
  false,
  async (given) => {
    const { stage: { connection, peer } } = given;
    const queue = celeryQueue(given);
    await connection.declare(queue);
    for (const compression of ["gzip", "zstd", "brotli"]) {
      await peer.sendTask({
        backend: "rpc://",
        name: "dashi.echo",
        args: ["again ".repeat(100)],
        kwargs: {},
        queue: queue.name,
        compression,
      });
    }
    for (const message of await take(connection, queue, 3)) {
      assertMatch(String(message.headers.compression), /^application\//);
      const payload = message.payload;
      assert(Array.isArray(payload));
      assertEquals(payload[0], ["again ".repeat(100)]);
    }
  },
  all,
);

celery(
  "a worker that sweeps overdue bindings leaves ours alone",
  true,
  async (given) => {
    const { stage, python, backend } = given;
    const { peer, connection } = stage;
    const exchange = stage.exchange("topic");
    const queue = stage.queue({ exchange, routingKey: "a.*" });
    const expiring = stage.queue({
      exchange,
      routingKey: "b.*",
      expires: 60_000,
    });
    await connection.declare([queue, expiring]);
    // A table that nothing protects shows when the sweep was there.
    const control = `dashi-interop-control-${crypto.randomUUID()}`;
    const table = `_kombu.binding.${control}`;
    const swept = async () => await peer.redis("EXISTS", table) === 0;
    const overdue = async () => {
      await peer.redis("SADD", table, "k\x06\x16\x06\x16q");
      for (const name of [exchange.name, control]) {
        await peer.redis("ZADD", "_kombu.binding_deadlines", 1, name);
      }
    };
    const check = async (text: string) => {
      assert(await swept());
      for (const routing_key of ["a.x", "b.x"]) {
        await peer.publish({
          body: text,
          exchange: { name: exchange.name, type: "topic" },
          routing_key,
        });
      }
      const [one] = await take(connection, queue, 1);
      assertEquals(one?.payload, text);
    };

    await overdue();
    assert(Number(await peer.sweepBindings()) >= 2);
    await check("after Kombu's sweep");

    await overdue();
    await using worker = new CeleryWorker(python, {
      broker: stage.url,
      backend,
      queue: celeryQueue(given).name,
      transportOptions: stage.meeting.theirs ?? {},
    });
    await worker.ready();
    await until("the worker's sweep", 60_000, swept);
    await check("after the worker's sweep");
  },
  [REDIS],
);
