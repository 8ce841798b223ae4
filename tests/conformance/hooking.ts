import assert from "node:assert/strict";
import { DecodeError, type Message } from "../../mod.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { ConformanceCase } from "./case.ts";
import { BACKWARD, BACKWARDS, heard, lying, runs } from "./hooks.ts";
import { onStage, open, take } from "./stage.ts";
import { arrives, rejectsWith, until } from "./support.ts";

/** Middlewares: what passes them, and what does not. */
export const HOOKING: readonly ConformanceCase[] = [
  onStage(
    "a middleware changes what lies at the broker, and hands over what was published: to run(), runBatches(), route(), for await, get() and peek()",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      connection.use(BACKWARD);
      const send = (text: string) =>
        connection.send(queue, text, { headers: { kept: 1 }, type: "text" });
      await send("abc");
      const { text, headers } = await lying(harness, queue.name);
      assert.equal(text, "cba");
      assert.deepEqual(headers, { kept: 1, [BACKWARDS]: "text/plain" });

      const seen: unknown[] = [];
      const note = ({ payload, headers, contentType }: Message<unknown>) =>
        void seen.push([
          payload,
          headers["kept"],
          headers[BACKWARDS],
          contentType,
        ]);
      const ways = ["run", "runBatches", "route", "iterate", "get", "peek"];
      for (const way of ways) {
        await send(way);
        if (way === "peek") {
          const handle = connection.queue(queue);
          await until(async () => {
            const [message] = await handle.peek({ max: 1 });
            if (message === undefined) return false;
            note(message);
            return true;
          }, "a message");
          await handle.close();
          await lying(harness, queue.name);
        } else if (way === "get") {
          const handle = connection.queue(queue);
          await until(async () => {
            const message = await handle.get();
            if (message === undefined) return false;
            note(message);
            await message.ack();
            return true;
          }, "a message");
          await handle.close();
        } else if (way === "iterate") {
          const consumer = connection.consumer(queue);
          for (const message of await take(consumer, 1)) {
            note(message);
            await message.ack();
          }
        } else {
          const consumer = connection.consumer(queue);
          const end = (message: Message<unknown>) => {
            note(message);
            void consumer.cancel();
          };
          await arrives(
            way === "run"
              ? consumer.run(end)
              : way === "route"
              ? consumer.route({ text: end })
              : consumer.runBatches((all) => all.forEach(end), { wait: 1 }),
            `the end of ${way}()`,
          );
        }
        assert.deepEqual(seen.splice(0), [[way, 1, undefined, "text/plain"]]);
      }
    },
  ),
  onStage(
    "messages of a producer stay in order when a middleware takes its time for some of them",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const waits: (() => void)[] = [];
      connection.use({
        async publish({ body }, next) {
          const isSlow = body[0] === 115;
          if (isSlow) {
            await new Promise<void>((resolve) => waits.push(resolve));
          }
          await next();
        },
      });
      const producer = connection.producer({ queue });
      const texts = ["s1", "f2", "s3", "f4", "f5"];
      const publishing = texts.map((text) => producer.publish(text));
      await until(() => waits.length === 2, "both slow ones");
      for (const resolve of waits.toReversed()) resolve();
      await arrives(Promise.all(publishing), "the answers");
      const messages = await take(connection.consumer(queue), 5);
      assert.deepEqual(messages.map(({ payload }) => payload), texts);
      await Promise.all(messages.map((each) => each.ack()));
    },
    { ordered: true },
  ),
  onStage(
    "an error of a middleware is the publish's, and what it does not pass on is not published",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      connection.use({
        async publish(message, next) {
          const text = new TextDecoder().decode(message.body);
          if (text === "refused") throw new RangeError("the case refuses it");
          if (text === "kept") return;
          await next();
          if (text === "told") throw new RangeError("it was published");
        },
      });
      const refused = { name: "RangeError", message: "the case refuses it" };
      await assert.rejects(connection.send(queue, "refused"), refused);
      await connection.send(queue, "kept");
      await assert.rejects(connection.send(queue, "told"), RangeError);
      await assert.rejects(
        connection.request("refused", { routingKey: queue.name }),
        refused,
      );
      await rejectsWith(
        connection.request("kept", { routingKey: queue.name }),
        "not-passed-on",
      );
      assert.equal((await lying(harness, queue.name)).text, "told");
      assert.equal((await connection.declare(queue)).messageCount, 0);
    },
  ),
  onStage(
    "requests and their answers pass the middlewares, errors too",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const serving = open(harness).use(BACKWARD);
      const seen: string[] = [];
      const requests: unknown[] = [];
      connection.use({
        publish({ origin }, next) {
          seen.push(origin);
          return next();
        },
        receive: ({ via }) => void seen.push(via),
      }).use(BACKWARD);
      serving.use({
        publish({ origin, request }, next) {
          requests.push([origin, request?.payload]);
          return next();
        },
      });
      const consumer = serving.consumer<string>(queue);
      const running = consumer.serve(({ payload }) => {
        if (payload === "fails") throw new RangeError("as asked");
        return `${payload}!`;
      });
      const ask = (text: string) =>
        connection.request<string>(text, { routingKey: queue.name });
      assert.equal(await ask("abc"), "abc!");
      await assert.rejects(ask("fails"), { remoteName: "RangeError" });
      assert.deepEqual(seen, ["request", "reply", "request", "reply"]);
      assert.deepEqual(requests, [["reply", "abc"], ["reply", "fails"]]);
      await consumer.cancel();
      await arrives(running, "the end of serve()");
      await serving.close();
    },
  ),
  onStage(
    "retries and dead letters stay as they came, and are redriven so",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const { name } = queue;
      const failed = failedQueue(name);
      stage.queue({}, failed);
      const origins: string[] = [];
      connection.use({
        publish({ origin }, next) {
          origins.push(origin);
          return next();
        },
      }).use(BACKWARD);
      const parked = heard(connection, "parked");
      await connection.send(queue, "abc", { headers: { kept: 1 } });
      const attempts: unknown[] = [];
      await runs({ connection }, queue, ({ payload, attempt }) => {
        attempts.push([payload, attempt]);
        throw new Error("the case wants it parked");
      }, () => parked.length === 1);
      assert.deepEqual(attempts, [["abc", 1], ["abc", 2], ["abc", 3]]);
      const redriving = open(harness);
      const other: string[] = [];
      redriving.use({
        publish({ origin, headers, body }, next) {
          const text = new TextDecoder().decode(body);
          other.push(origin, text, `${headers["kept"]}`);
          return next();
        },
        // It is taken as it lies.
        receive: () => void other.push("receive"),
        settle(_, next) {
          other.push("settle");
          return next();
        },
      });
      assert.deepEqual(await redriving.redrive(failed), { moved: 1, kept: 0 });
      await redriving.close();
      assert.deepEqual(other, ["redrive", "cba", "1"]);
      assert.deepEqual(origins, ["publish"]);
      const seen: unknown[] = [];
      await runs({ connection }, queue, ({ payload, headers }) => {
        seen.push(payload, headers["kept"], headers[BACKWARDS]);
      }, () => seen.length > 0);
      assert.deepEqual(seen, ["abc", 1, undefined]);
    },
  ),
  onStage(
    "a message that a middleware cannot read is parked at once, and goes to onInvalid; where it fails otherwise it is tried again",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const { name } = queue;
      const failed = failedQueue(name);
      stage.queue({}, failed);
      const foreign = open(harness);
      const fails = { left: 2 };
      connection.use({
        receive({ body }) {
          const isFlaky = new TextDecoder().decode(body) === "flaky";
          if (isFlaky && fails.left-- > 0) {
            throw new RangeError("the case wants it again");
          }
        },
      }).use(BACKWARD);
      const parked = heard(connection, "parked");
      const seen: unknown[] = [];
      for (const way of ["run", "iterate"]) {
        fails.left = way === "run" ? 2 : 1; // a loop's waits for a second
        await foreign.send(queue, "foreign");
        await connection.send(queue, "flaky");
        const consumer = connection.consumer(queue);
        const running = way === "run"
          ? consumer.run(({ payload, attempt }) => {
            seen.push([payload, attempt]);
          }, { retry: { attempts: 3, backoff: 0 } })
          : (async () => {
            for await (const message of consumer) {
              seen.push([message.payload, message.attempt]);
              await message.ack();
            }
          })();
        await until(() => seen.length === 1 && parked.length === 1, way);
        await consumer.cancel();
        await arrives(running, "the end of it");
        assert.deepEqual(
          seen.splice(0),
          [["flaky", way === "run" ? 3 : 2]],
          way,
        );
        parked.length = 0;
        assert.equal((await lying(harness, failed)).text, "foreign");
      }
      await foreign.send(queue, "foreign");
      const invalid: unknown[] = [];
      const consumer = connection.consumer(queue, {
        onInvalid: async (error, message) => {
          invalid.push(error.message);
          await message.ack();
        },
      });
      let calls = 0;
      const running = consumer.run(() => void calls++);
      await until(() => invalid.length === 1, "onInvalid");
      await consumer.cancel();
      await arrives(running, "the end of run()");
      assert.equal(calls, 0);
      assert.deepEqual(invalid, ["Cannot read a body: it is not backwards"]);
      await foreign.send(queue, "foreign");
      const handle = connection.queue(queue);
      let got: Message<unknown> | undefined;
      await until(async () => (got = await handle.get()) !== undefined, "it");
      assert.throws(() => got?.payload, DecodeError);
      await got?.ack();
      await handle.close();
      await foreign.close();
    },
    { needs: ["delay"] },
  ),
];
