import { assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  NotFoundError,
  OptionError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { telemetry, type TelemetryOptions } from "@dashi/mq/telemetry";
import { errorType } from "../../telemetry/recorder.ts";
import { Told } from "../conformance/tracing_stage.ts";

Deno.test("an option that is unknown is refused, with the right one", async () => {
  const wrong = (options: object, words: string) =>
    assertRejects(
      () => telemetry(options as TelemetryOptions),
      OptionError,
      words,
    );
  await wrong({ continuetrace: true }, '"continueTrace"');
  await wrong({ tracer: {} }, '"tracerProvider"');
  await wrong({ depthOf: "orders" }, "an array");
  await wrong(
    { depthOf: ["orders", 5] },
    'Cannot use 5 in the option "depthOf"',
  );
  await wrong({ depthOf: [""] }, '"depthOf"');
  await wrong({ propagator: {} }, 'has no method "inject"');
  await wrong({ meterProvider: {} }, 'has no method "getMeter"');
  await wrong({ tracerProvider: {} }, 'has no method "getTracer"');
});

Deno.test("without a provider nothing is told, and headers stay as they are", async () => {
  await using connection = createConnection("memory://untold");
  connection.use(await telemetry());
  await connection.send(new Queue("orders"), 1);
  await using queue = connection.queue("orders");
  const message = await queue.get();
  assertEquals(message?.headers, {});
  await message?.ack();
});

Deno.test("connections that one telemetry is used on are counted together, and so are two of one provider", async () => {
  const told = await Told.make();
  const uses = [await told.middleware(), await told.middleware()];
  for (const use of [...uses, ...uses]) {
    await using connection = createConnection("memory://together");
    connection.use(use);
    await connection.send(new Queue("orders"), 1);
  }
  const sent = await told.metric("messaging.client.sent.messages");
  assertEquals(sent.map(({ value }) => value), [4]);
});

Deno.test("a connection's name is the client's id in spans, and in no metric", async () => {
  const told = await Told.make();
  const use = await told.middleware();
  for (const name of ["web-1", "web-2", undefined]) {
    await using connection = createConnection("memory://named", { name });
    assertEquals(connection.info().name, name);
    connection.use(use);
    await connection.send(new Queue("orders"), 1);
  }
  assertEquals(
    told.spans.map(({ attributes }) => attributes["messaging.client.id"]),
    ["web-1", "web-2", undefined],
  );
  const sent = await told.metric("messaging.client.sent.messages");
  assertEquals(sent.map(({ value }) => value), [3]);
});

Deno.test("a connection of a pool, and a clone, are told of too", async () => {
  const told = await Told.make();
  await using connection = createConnection("memory://pooled");
  connection.use(await told.middleware());
  await using pool = connection.pool();
  await using lent = await pool.acquire();
  await lent.send(new Queue("orders"), 1);
  await using clone = connection.clone();
  await clone.send(new Queue("orders"), 1);
  assertEquals(told.names(), ["publish orders", "publish orders"]);
});

Deno.test("the depth of a queue is asked for when metrics are collected, until its connection is closed", async () => {
  const told = await Told.make();
  const connection = createConnection("memory://deep");
  connection.use(await told.middleware({ depthOf: ["orders", "nowhere"] }));
  const depth = async () =>
    (await told.metric("dashi.queue.depth")).map(({ value }) => value);
  const queue = new Queue("orders");
  await connection.send(queue, 1);
  assertEquals(await depth(), [1]);
  await connection.send(queue, 2);
  assertEquals(await depth(), [2]);
  await connection.close();
  await using other = createConnection("memory://deep");
  await other.send(queue, 3);
  assertEquals(await depth(), [2]); // the SDK keeps the last one
});

Deno.test("a call that receives nothing for an error is told with its kind", async () => {
  const told = await Told.make();
  await using connection = createConnection("memory://failing-get");
  connection.use(await told.middleware());
  await assertRejects(() => connection.queue("nowhere").get(), NotFoundError);
  await using simple = connection.simpleQueue(new Queue("empty"));
  await assertRejects(() => simple.get({ timeout: 20 }), TimeoutError);
  // What fails before anything is taken is a call as well.
  const gone = new Queue("");
  await using unmade = connection.simpleQueue(gone);
  const signal = AbortSignal.abort();
  await assertRejects(() => unmade.get({ signal }), DOMException);
  await assertRejects(() => unmade.getNoWait({ signal }), DOMException);
  const spans = told.spans.map(({ name, status, attributes }) => [
    name,
    status.code,
    attributes["error.type"],
  ]);
  assertEquals(spans, [
    ["get nowhere", 2, "not-found"],
    ["get empty", 2, "timed-out"],
    ["get", 2, "AbortError"],
    ["get", 2, "AbortError"],
  ]);
  const taken = await told.metric("messaging.client.operation.duration");
  assertEquals(
    taken.map(({ attributes }) => attributes["error.type"]),
    ["not-found", "timed-out", "AbortError"],
  );
});

const VERBS = [
  "startSpan",
  "setAttribute",
  "setAttributes",
  "end",
  "record",
  "inject",
];

for (const verb of VERBS) {
  Deno.test(`no message fails for a provider whose ${verb} throws`, async () => {
    await using connection = createConnection(`memory://broken-${verb}`);
    connection.use(await telemetry(broken(verb)));
    const queue = new Queue<number>("orders");
    await connection.send(queue, 1);
    await using handle = connection.queue(queue);
    await (await handle.get())?.ack();
    await connection.send(queue, 2);
    const calls: number[] = [];
    const consumer = connection.consumer(queue);
    await consumer.run(({ payload, attempt }) => {
      calls.push(payload, attempt);
      void consumer.cancel();
    });
    assertEquals(calls, [2, 1]);
    assertEquals((await connection.queueStatus(queue)).messageCount, 0);
  });
}

/** Providers of which one verb throws, as those do whose span processor has a bug. */
function broken(verb: string): TelemetryOptions {
  const call = (name: string, value: unknown) => () => {
    if (name === verb) throw new Error(`the test says so, to ${name}`);
    return value;
  };
  const span = {
    isRecording: () => true,
    setAttribute: call("setAttribute", undefined),
    setAttributes: call("setAttributes", undefined),
    setStatus: () => {},
    end: call("end", undefined),
  };
  const observable = () => ({ addCallback() {} });
  const given = {
    tracerProvider: {
      getTracer: () => ({ startSpan: call("startSpan", span) }),
    },
    meterProvider: {
      getMeter: () => ({
        createHistogram: () => ({ record: call("record", undefined) }),
        createCounter: () => ({ add: call("record", undefined) }),
        createObservableCounter: observable,
        createObservableUpDownCounter: observable,
      }),
    },
    propagator: {
      inject: call("inject", undefined),
      extract: (context: unknown) => context,
      fields: () => [],
    },
  };
  return given as unknown as TelemetryOptions;
}

Deno.test("the kind of an error is a code of the library, or a name, and never a text", () => {
  const named = (name: string) => Object.assign(new Error("x"), { name });
  assertEquals(errorType(new TimeoutError("late")), "timed-out");
  assertEquals(errorType(new RangeError("x")), "RangeError");
  assertEquals(errorType(named("user 4711 is unknown")), "_OTHER");
  assertEquals(errorType("secret"), "_OTHER");
});
