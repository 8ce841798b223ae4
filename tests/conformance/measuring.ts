import assert from "node:assert/strict";
import type { Attributes } from "@opentelemetry/api";
import type { ConformanceCase } from "./case.ts";
import { QUICK, withGate } from "./comebacks.ts";
import { onStage } from "./stage.ts";
import { arrives, until } from "./support.ts";
import { commonOf, Told, traced } from "./tracing_stage.ts";

/** The metrics of OpenTelemetry, and what none of it may tell. */
export const MEASURING: readonly ConformanceCase[] = [
  traced(
    "telemetry: no body, header, password or text of an error is told, and a failure by its kind",
    async ({ connection, told, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, `${queue.name}.failed`);
      const consumer = connection.consumer(queue);
      const running = consumer.run(() => {
        void consumer.cancel();
        throw new TypeError("hunter2-is-secret in an error");
      }, { retry: false });
      const to = { routingKey: `${queue.name}.nowhere`, mandatory: true };
      const lost = connection.producer().publish("hunter2-is-secret", to);
      const isTold = await lost.then(() => undefined, (error) => error);
      await connection.send(queue, "hunter2-is-secret", {
        headers: { token: "hunter2-is-secret" },
      });
      await arrives(running, "the end of the run");
      const spans = await told.take(4);
      const text = await told.text();
      assert.ok(!text.includes("hunter2"), text);
      const process = spans.find(({ name }) =>
        name === `process ${queue.name}`
      );
      assert.equal(process?.attributes["error.type"], "TypeError");
      assert.equal(process.status.code, 2);
      const publish = spans.find(({ name }) => name.endsWith(".nowhere"));
      assert.equal(typeof isTold?.code, "string");
      assert.equal(publish?.attributes["error.type"], isTold?.code);
    },
  ),
  traced(
    "telemetry: messages, durations, retries and dead letters are counted, and what is in flight",
    async ({ connection, told, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, `${queue.name}.failed`);
      await connection.send(queue, "good");
      await connection.send(queue, "bad");
      const consumer = connection.consumer(queue);
      let [calls, most] = [0, 0];
      const running = consumer.run(async ({ payload }) => {
        const flying = await told.metric("dashi.in_flight");
        most = Math.max(most, ...flying.map(({ value }) => value));
        if (++calls === 3) void consumer.cancel();
        if (payload === "bad") throw new RangeError("bad");
      }, { retry: { attempts: 2, backoff: 0 } });
      await arrives(running, "the end of the run");
      await told.take(2 + 3 + 3);
      const common = {
        ...commonOf(connection.info()),
        "messaging.destination.name": queue.name,
      };
      const of = (name: string, type: string): Attributes => ({
        ...common,
        "messaging.operation.name": name,
        "messaging.operation.type": type,
      });
      const failed = { "error.type": "RangeError" };
      const check = async (
        name: string,
        ...rows: readonly (readonly [Attributes, number])[]
      ) => {
        const found = await told.metric(name);
        assert.deepEqual(
          new Map(
            found.map(({ attributes, value }) => [keyOf(attributes), value]),
          ),
          new Map(
            rows.map(([attributes, value]) => [keyOf(attributes), value]),
          ),
          name,
        );
      };
      const process = of("process", "process");
      await check("messaging.client.sent.messages", [of("publish", "send"), 2]);
      await check(
        "messaging.client.consumed.messages",
        [process, 1],
        [{ ...process, ...failed }, 2],
      );
      await check(
        "messaging.process.duration",
        [process, 1],
        [{ ...process, ...failed }, 2],
      );
      await check(
        "messaging.client.operation.duration",
        [of("publish", "send"), 2],
        [of("ack", "settle"), 1],
        [of("retry", "settle"), 1],
        [of("park", "settle"), 1],
      );
      await check("dashi.retries", [{ ...common, ...failed }, 1]);
      await check("dashi.dead_letters", [
        { ...common, "dashi.reason": "parked" },
        1,
      ]);
      await until(
        async () =>
          (await told.metric("dashi.in_flight")).every((e) => e.value === 0),
        "the end of all that is in flight",
      );
      assert.equal(most, 1);
    },
  ),
  onStage(
    "telemetry: a connection that comes back is counted",
    async (stage, harness) => {
      const told = await Told.make();
      await withGate(stage, harness, QUICK, async (scene) => {
        const { gate, connection, queue, producer } = scene;
        connection.use(await told.middleware());
        await producer.publish(1, { routingKey: queue.name });
        assert.deepEqual(await told.metric("dashi.reconnects"), []);
        await gate.lose();
        gate.open();
        await producer.publish(2, { routingKey: queue.name });
        assert.deepEqual(await told.metric("dashi.reconnects"), [
          { attributes: commonOf(connection.info()), value: 1 },
        ]);
      });
    },
  ),
];

function keyOf(attributes: Attributes): string {
  return JSON.stringify(
    Object.entries(attributes).toSorted(([a], [b]) => a < b ? -1 : 1),
  );
}
