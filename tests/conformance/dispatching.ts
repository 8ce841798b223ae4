import assert from "node:assert/strict";
import type { ConformanceCase } from "./case.ts";
import { onStage, type Stage, take } from "./stage.ts";
import { arrives, rejectsWith, until } from "./support.ts";

/** Takes `{ id: number }`. */
function orderOf(payload: unknown): { readonly id: number } {
  if (
    typeof payload === "object" && payload !== null && "id" in payload &&
    typeof payload.id === "number"
  ) return { id: payload.id };
  throw new TypeError("expected an id");
}

/** A queue with dead letters, and a way to publish to it. */
function places(stage: Stage) {
  const dead = stage.queue();
  const queue = stage.queue({ deadLetter: dead });
  const producer = stage.connection.producer({ queue });
  const put = (type: string | undefined, payload: unknown) =>
    producer.publish(payload, type === undefined ? {} : { type });
  return { dead, queue, put };
}

/** Handlers by the type of messages. */
export const DISPATCHING: readonly ConformanceCase[] = [
  onStage(
    "route() calls the handler of a message's type, and parks at once what has another, or none, or does not fit its schema",
    async (stage) => {
      const { dead, queue, put } = places(stage);
      await put("order.created", { id: 1, more: true });
      await put("order.created", { id: "one" });
      await put("constructor", "of an object");
      await put(undefined, "of no type");
      await put("user.renamed", "Ada");
      const seen: unknown[] = [];
      const codes: unknown[] = [];
      const consumer = stage.connection.consumer(queue);
      const running = consumer.route({
        "order.created": {
          schema: orderOf,
          handler: ({ payload }) => void seen.push(payload),
        },
        "user.renamed": ({ payload }) => void seen.push(payload),
      }, {
        retry: { attempts: 3, backoff: 0 },
        onError: (error) => codes.push("code" in error ? error.code : error),
      });
      const letters = await take(stage.connection.consumer(dead), 3);
      assert.deepEqual(
        letters.map(({ payload }) => JSON.stringify(payload)).sort(),
        ['"of an object"', '"of no type"', '{"id":"one"}'],
      );
      await until(() => seen.length === 2, "both handlers");
      assert.deepEqual(
        new Set(seen.map((each) => JSON.stringify(each))),
        new Set(['{"id":1}', '"Ada"']),
      );
      assert.deepEqual(codes.sort(), [
        "decode-failed",
        "type-unknown",
        "type-unknown",
      ]);
      await consumer.cancel();
      await arrives(running, "the end of route()");
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "route() acks what it is to skip, and a handler for others takes them",
    async (stage) => {
      const { queue, put } = places(stage);
      await put("other", 1);
      await put("order.created", { id: "one" });
      const seen: unknown[] = [];
      const consumer = stage.connection.consumer(queue);
      const routes = {
        "order.created": {
          schema: orderOf,
          handler: () => void seen.push("order"),
        },
      };
      const running = consumer.route(routes, {
        unknown: ({ properties }) => void seen.push(properties.type),
        invalid: "skip",
      });
      const isEmpty = async () =>
        (await stage.connection.declare(queue)).messageCount === 0;
      await until(async () => seen.length === 1 && await isEmpty(), "the end");
      await consumer.cancel();
      await arrives(running, "the end of route()");
      assert.deepEqual(seen, ["other"]);
      await put("another", 2);
      const again = stage.connection.consumer(queue);
      const skipping = again.route(routes, { unknown: "skip" });
      await until(isEmpty, "an empty queue");
      await again.cancel();
      await arrives(skipping, "the end of route()");
    },
    { needs: ["dead-letter"] },
  ),
  onStage(
    "route() that is to throw rejects, and the message is in its queue again",
    async (stage) => {
      const { queue, put } = places(stage);
      const routes = {
        "order.created": { schema: orderOf, handler: () => {} },
      };
      for (
        const [type, payload, code] of [
          ["order.updated", 1, "type-unknown"],
          ["order.created", 2, "decode-failed"],
        ] as const
      ) {
        await put(type, payload);
        const running = stage.connection.consumer(queue).route(routes, {
          unknown: "throw",
          invalid: "throw",
        });
        await rejectsWith(running, code);
        const [message] = await take(stage.connection.consumer(queue), 1);
        assert.equal(message?.payload, payload);
        await message?.ack();
      }
    },
    { needs: ["dead-letter"] },
  ),
];
