import { assertEquals, assertThrows } from "@std/assert";
import { Queue, type QueueOptions } from "@dashi/mq";

Deno.test("a queue's type has its arguments", () => {
  const of = (options: QueueOptions) => new Queue("q", options).arguments;
  assertEquals(of({ type: "classic", maxPriority: 3 }), {
    "x-max-priority": 3,
    "x-queue-type": "classic",
  });
  assertEquals(
    of({
      type: "quorum",
      deliveryLimit: -1,
      overflow: "reject-publish",
      deadLetter: "q.dead",
      deadLetterStrategy: "at-least-once",
      delayedRetry: { min: 1000.7, max: 60_000 },
    }),
    {
      "x-queue-type": "quorum",
      "x-delivery-limit": -1,
      "x-overflow": "reject-publish",
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": "q.dead",
      "x-dead-letter-strategy": "at-least-once",
      "x-delayed-retry-type": "failed",
      "x-delayed-retry-min": 1000,
      "x-delayed-retry-max": 60_000,
    },
  );
  assertEquals(
    of({
      type: "stream",
      maxAge: 90_500,
      maxLengthBytes: 10_000,
      maxSegmentBytes: 1000,
    }),
    {
      "x-queue-type": "stream",
      "x-max-age": "91s",
      "x-max-length-bytes": 10_000,
      "x-stream-max-segment-size-bytes": 1000,
    },
  );
});

Deno.test("delayedRetry of a queue that is no quorum queue is the library's alone", () => {
  const delayedRetry = { min: 1000, max: 60_000 };
  for (const options of [{}, { type: "classic" }] as const) {
    const queue = new Queue("q", { ...options, delayedRetry });
    assertEquals(queue.delayedRetry, delayedRetry);
    assertEquals(queue.arguments["x-delayed-retry-min"], undefined);
  }
});

Deno.test("the compiler knows what queues of a type take", () => {
  const make = [
    // @ts-expect-error: only classic queues have priorities of their own
    () => new Queue("q", { type: "quorum", maxPriority: 5 }),
    // @ts-expect-error: nothing in a stream expires by itself
    () => new Queue("q", { type: "stream", messageTtl: 1000 }),
    // @ts-expect-error: a stream is durable
    () => new Queue("q", { type: "stream", durable: false }),
    // @ts-expect-error: only quorum queues count what comes back
    () => new Queue("q", { type: "classic", deliveryLimit: 3 }),
  ];
  for (const each of make) assertThrows(each, TypeError);
});

/** As from JavaScript: no compiler has seen them. */
const WRONG: readonly (readonly [object, ...string[]])[] = [
  [{ type: "quorum", maxPriority: 5 }, '"quorum" with "maxPriority"', "4.0"],
  [{ type: "quorum", arguments: { "x-max-priority": 5 } }, "maxPriority"],
  [{ arguments: { "x-queue-type": "quorum", "x-max-priority": 5 } }, "quorum"],
  [{ type: "quorum", exclusive: true }, '"quorum" as exclusive'],
  [{ type: "quorum", autoDelete: true }, "autoDelete", "expires"],
  [{ type: "quorum", durable: false }, "durable: false"],
  [{ type: "quorum", maxAge: 1000 }, "maxAge"],
  [{ type: "quorum", overflow: "reject-publish-dlx" }, "one of drop-head"],
  [{ type: "quorum", deadLetterStrategy: "at-least-once" }, "reject-publish"],
  [{
    type: "quorum",
    deadLetterStrategy: "at-least-once",
    overflow: "reject-publish",
  }, "dead letters"],
  [{ type: "stream", messageTtl: 1000 }, "messageTtl", "maxAge"],
  [{ type: "stream", maxLength: 10 }, "maxLength", "maxLengthBytes"],
  [{ type: "stream", expires: 1000 }, "expires"],
  [{ type: "stream", deadLetter: "dead" }, "deadLetter"],
  [{ type: "stream", deadLetterExchange: "dead" }, "deadLetter"],
  [{ type: "stream", ordered: true }, "ordered"],
  [{ type: "stream", exclusive: true }, '"stream" as exclusive'],
  [{ type: "stream", delayedRetry: { min: 1, max: 2 } }, "delayedRetry"],
  [{ type: "classic", deliveryLimit: 3 }, "deliveryLimit"],
  [{ type: "classic", maxAge: 3000 }, "maxAge"],
  [{ deadLetterStrategy: "at-most-once" }, '"type" "quorum"'],
  [{ maxAge: 3000 }, '"type" "stream"'],
  [{ type: "log" }, '"type" "log"', "classic, quorum, stream"],
];

for (const [options, ...words] of WRONG) {
  Deno.test(`a queue with ${JSON.stringify(options)} is refused before it is sent`, () => {
    const { message } = assertThrows(
      () => new Queue("q", options as QueueOptions),
      TypeError,
    );
    for (const word of ['queue "q"', ...words]) {
      assertEquals([word, message.includes(word)], [word, true], message);
    }
  });
}

Deno.test("waits of a queue that make no sense are refused", () => {
  for (
    const [given, word] of [
      [{ min: 1000 }, "delayedRetry.max"],
      [{ max: 1000 }, "delayedRetry.min"],
      [{ min: 0, max: 1000 }, "milliseconds"],
      [{ min: 1000, max: 999 }, "from 1000"],
      [{ min: "1s", max: 1000 }, "delayedRetry.min"],
    ] as const
  ) {
    const { message } = assertThrows(
      () => new Queue("q", { delayedRetry: given } as unknown as QueueOptions),
      RangeError,
    );
    assertEquals([word, message.includes(word)], [word, true], message);
  }
  assertThrows(
    () =>
      new Queue("q", {
        delayedRetry: { min: 1, max: 2, factor: 2 },
      } as unknown as QueueOptions),
    Error,
    "factor",
  );
});
