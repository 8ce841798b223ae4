import { assertEquals, assertThrows } from "@std/assert";
import type { FieldValue } from "../../../model/field_table.ts";
import {
  type Attempted,
  attemptOf,
  judge,
  type Judged,
  planAttempt,
  type RetryOptions,
  type Verdict,
} from "../../../messaging/consume/handler_retry.ts";
import type { FieldTable } from "../../../model/field_table.ts";

const CASES: readonly (readonly [
  name: string,
  attempts: number,
  judged: Partial<Judged> & { readonly headers?: FieldTable },
  verdict: Verdict,
])[] = [
  ["a new message", 3, {}, { type: "call" }],
  ["one that was delivered once before", 3, {
    redelivered: true,
    deliveryCount: 1,
  }, { type: "call" }],
  ["one that may have used up all but one", 3, {
    redelivered: true,
    deliveryCount: 2,
  }, { type: "mark", headers: { "x-suspect": 2 } }],
  ["one that was fetched often", 3, {
    redelivered: true,
    deliveryCount: 50,
  }, { type: "mark", headers: { "x-suspect": 2 } }],
  ["one that comes marked", 3, { headers: { "x-suspect": 2 } }, {
    type: "call-alone",
  }],
  ["one that comes marked once more", 3, {
    headers: { "x-suspect": 2 },
    redelivered: true,
    deliveryCount: 1,
  }, { type: "give-up", calls: 3 }],
  ["one that comes marked once more, with attempts left", 5, {
    headers: { "x-suspect": 2, kept: 1 },
    redelivered: true,
    deliveryCount: 1,
  }, { type: "rewrite", headers: { "x-suspect": 3, kept: 1 } }],
  ["one whose second attempt did not end", 3, {
    headers: { "x-attempts": 2 },
    redelivered: true,
    deliveryCount: 1,
  }, { type: "mark", headers: { "x-attempts": 2, "x-suspect": 1 } }],
  ["one that is only flagged", 3, { redelivered: true }, {
    type: "rewrite",
    headers: { "x-redeliveries": 1 },
  }],
  ["one that is flagged again", 3, {
    headers: { "x-redeliveries": 1 },
    redelivered: true,
  }, { type: "mark", headers: { "x-suspect": 2 } }],
  ["one that is only flagged, and has a single attempt", 1, {
    redelivered: true,
  }, { type: "mark", headers: { "x-suspect": 1 } }],
  ["one that the broker counts", 3, {
    headers: { "x-attempts": 3 },
    redelivered: true,
    deliveryCount: 2,
    countsAttempts: true,
  }, { type: "call" }],
  ["one that the broker counts, beyond its attempts", 3, {
    headers: { "x-attempts": 4 },
    redelivered: true,
    deliveryCount: 3,
    countsAttempts: true,
  }, { type: "give-up", calls: 3 }],
  ["one whose failures the broker counts", 3, {
    headers: { "x-attempts": 3 },
    redelivered: true,
    deliveryCount: 2,
    countsFailures: true,
  }, { type: "call" }],
  ["one whose failures, or its neighbours', have used up its attempts", 3, {
    headers: { "x-attempts": 9, kept: 1 },
    redelivered: true,
    deliveryCount: 8,
    countsFailures: true,
  }, {
    type: "mark",
    headers: { "x-attempts": 3, "x-suspect": 1, kept: 1 },
  }],
  ["one of those that ended its process when it was called alone", 3, {
    headers: { "x-attempts": 4, "x-suspect": 1 },
    redelivered: true,
    deliveryCount: 1,
    countsFailures: true,
  }, { type: "give-up", calls: 3 }],
  ["one with rubbish in its headers", 3, {
    headers: { "x-suspect": "many", "x-redeliveries": -1 },
    redelivered: true,
    deliveryCount: 1,
  }, { type: "call" }],
];

for (const [name, attempts, judged, verdict] of CASES) {
  Deno.test(`judge() of ${name}, with ${attempts} attempts: ${verdict.type}`, () => {
    const { headers: receivedHeaders = {}, ...rest } = judged;
    const all: Judged = {
      receivedHeaders,
      redelivered: false,
      deliveryCount: undefined,
      countsAttempts: false,
      ...rest,
    };
    assertEquals(judge({ attempts }, all, true), verdict);
  });
}

Deno.test("judge() reads no headers of what surely lacks the one that it looks for", () => {
  const all: Judged = {
    get receivedHeaders(): FieldTable {
      throw new Error("They are read");
    },
    lacksHeader: (name) => name === "x-suspect",
    redelivered: false,
    deliveryCount: undefined,
    countsAttempts: false,
  };
  assertEquals(judge({ attempts: 5 }, all, true), { type: "call" });
  assertThrows(
    () =>
      judge(
        { attempts: 5 },
        Object.create(all, { redelivered: { value: true } }),
        true,
      ),
    Error,
    "They are read",
  );
});

Deno.test("judge() begins to count only where it is to, and goes on where somebody has begun", () => {
  const all: Judged = {
    receivedHeaders: {},
    redelivered: true,
    deliveryCount: undefined,
    countsAttempts: false,
  };
  assertEquals(judge({ attempts: 5 }, all, false), { type: "call" });
  assertEquals(judge({ attempts: 5 }, all, true), {
    type: "rewrite",
    headers: { "x-redeliveries": 1 },
  });
  const counted = { ...all, receivedHeaders: { "x-redeliveries": 1 } };
  assertEquals(judge({ attempts: 5 }, counted, false), {
    type: "rewrite",
    headers: { "x-redeliveries": 2 },
  });
});

/** A message that came with these headers. */
function attempted(receivedHeaders: FieldTable): Attempted {
  return { attempt: attemptOf(receivedHeaders), receivedHeaders };
}

Deno.test("planAttempt() takes the suspicion from a message whose handler has ended", () => {
  const headers = { "x-suspect": 2, "x-redeliveries": 1, kept: 1 };
  const next = planAttempt({ attempts: 3, backoff: 0 }, attempted(headers), 1);
  assertEquals(next, {
    delay: 0,
    byBroker: false,
    attempt: 2,
    headers: { kept: 1, "x-attempts": 2 },
  });
});

Deno.test("planAttempt() believes the count of whoever wrote it, and takes what is none for the first", () => {
  const plan = (count: FieldValue) =>
    planAttempt(
      { attempts: 3, backoff: 0 },
      attempted({ "x-attempts": count }),
      1,
    )
      ?.headers["x-attempts"];
  for (
    const none of [0, -1, 1.5, NaN, Infinity, 2 ** 53, "x", null, [], {}, true]
  ) assertEquals(plan(none), 2, String(none));
  assertEquals([plan(2), plan(3), plan(2 ** 53 - 1)], [
    3,
    undefined,
    undefined,
  ]);
});

Deno.test("planAttempt() waits as the policy says: from a second to a minute, half of it by chance", () => {
  const waits = (retry: RetryOptions, random: number) =>
    [1, 2, 3, 50].map((count) =>
      planAttempt(retry, attempted({ "x-attempts": count }), random)?.delay
    );
  const attempts = 99;
  assertEquals(waits({ attempts }, 1), [1000, 2000, 4000, 60_000]);
  assertEquals(waits({ attempts }, 0), [500, 1000, 2000, 30_000]);
  const steady = { attempts, initialDelay: 7, factor: 1, jitter: 0 };
  assertEquals(waits(steady, 0), [7, 7, 7, 7]);
  const long = { attempts, initialDelay: 90_000, jitter: 0 };
  assertEquals(waits(long, 0), [90_000, 90_000, 90_000, 90_000]);
  const odd = { attempts, initialDelay: 15, factor: 1.5, maxDelay: 30 };
  assertEquals(waits(odd, 1), [15, 23, 30, 30]);
  assertEquals(waits({ attempts, backoff: 3 }, 0), [3, 3, 3, 3]);
  const own = (calls: number) => calls * 10;
  assertEquals(waits({ attempts, backoff: own }, 0), [10, 20, 30, 500]);
});

Deno.test("planAttempt() waits as the queue says where the policy does not, by the broker where that would wait so long", () => {
  const delayedRetry = { min: 300, max: 800 };
  const plan = (retry: RetryOptions, retryDelay?: number) =>
    [1, 2, 3].map((count) => {
      const message = attempted({ "x-attempts": count });
      const next = planAttempt(
        retry,
        { ...message, delayedRetry, retryDelay },
        1,
      );
      return [next?.delay, next?.byBroker];
    });
  const byLibrary = [[300, false], [600, false], [800, false]];
  assertEquals(plan({}), byLibrary);
  assertEquals(plan({}, 600), [[600, true], [600, true], [600, true]]);
  const equal = (calls: number) => Math.min(300 * calls, 800);
  assertEquals(plan({ backoff: equal }), byLibrary);
  assertEquals(plan({ backoff: equal }, 600), [
    [300, false],
    [600, true],
    [800, false],
  ]);
  assertEquals(plan({ backoff: 0 }, 600)[0], [0, false]);
  assertEquals(plan({ initialDelay: 50, jitter: 0 }, 600)[0], [50, false]);
});
