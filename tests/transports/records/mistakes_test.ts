/** What the author of a database's verbs may get wrong, and the types do not show, is told at once. */

import { assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import {
  createRecordsTransport,
  type Records,
  type Row,
  type Written,
} from "@dashi/mq/records";
import { memoryRecordsTransport } from "../../support/memory_records.ts";

type Verbs = Partial<Pick<Records, "list" | "write" | "now">>;

const listing = (...rows: readonly unknown[]): Verbs => ({
  list: ({ start }) =>
    Promise.resolve(
      rows.map((row) => ({ id: start, revision: "1", ...Object(row) }) as Row),
    ),
});

const writing = (...results: readonly unknown[]): Verbs => ({
  write: () => Promise.resolve(results as Written[]),
});

const MISTAKES: readonly (readonly [string, Verbs, string])[] = [
  ["an id in bytes", listing({ id: new Uint8Array(2) }), "the id of a"],
  ["a revision that is a number", listing({ revision: 3 }), "Cannot use 3 as"],
  ["a first revision of 0", listing({ revision: "0" }), '"0" as the'],
  ["a revision without a count", listing({ revision: "r3" }), '"r3" as the'],
  ["more rows than were asked for", listing({}, {}), "must be 1 or less"],
  ["a row before the range", listing({ id: "a" }), "they must be in order"],
  ["a row behind the range", listing({ id: "z" }), "they must be in order"],
  ["a time that is none", { now: () => NaN }, "milliseconds since 1970"],
  ["a write without a result", writing(), "was written with no result"],
  [
    "a write whose revision is a number",
    writing({ type: "written", revision: 1 }),
    "Cannot use 1 as the revision",
  ],
];

for (const [mistake, verbs, text] of MISTAKES) {
  Deno.test(`a transport over records is told of ${mistake}`, async () => {
    const transport = createRecordsTransport({
      name: "mistaken",
      open: (_url, { clock }) =>
        Promise.resolve({
          limits: { recordBytes: 1_000_000 },
          isPersistent: false,
          closed: new Promise(() => {}),
          now: () => clock.wall(),
          list: () => Promise.resolve([]),
          read: () => Promise.resolve([]),
          write: () => Promise.resolve([]),
          [Symbol.asyncDispose]: () => Promise.resolve(),
          ...verbs,
        }),
    });
    await using connection = createConnection("mistaken://", { transport });
    await assertRejects(
      () => connection.declare(new Queue("q")),
      TypeError,
      text,
    );
  });
}

Deno.test("a mistake in a transport is an event of the consumers that wait for it to pass", async () => {
  const transport = memoryRecordsTransport().wrapping((store) => {
    const reserve = () => Promise.reject(new TypeError("no row has this form"));
    Object.assign(store.messages, { reserve });
    return store;
  });
  await using connection = createConnection("memory-records:///x", {
    transport,
  });
  const events = connection.events();
  await using consumer = connection.consumer(new Queue("q"));
  const first = consumer[Symbol.asyncIterator]().next();
  first.catch(() => {}); // it ends with the connection
  for await (const event of events) {
    if (event.type !== "consume-failed") continue;
    assertEquals(event.error.message, "no row has this form");
    break;
  }
});
