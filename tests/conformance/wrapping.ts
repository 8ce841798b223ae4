import assert from "node:assert/strict";
import { type Connection, DecodeError, type Queue } from "../../mod.ts";
import {
  claimCheck,
  compression,
  createMemoryClaimStore,
  encryption,
  logging,
  type LogLine,
} from "../../messaging/middleware/mod.ts";
import { failedQueue } from "../../virtual/mod.ts";
import type { ConformanceCase } from "./case.ts";
import type { Harness } from "./harness.ts";
import { heard, lying, runs } from "./hooks.ts";
import { onStage, open, type Stage } from "./stage.ts";
import { arrives, until } from "./support.ts";

const SECRET = "nobody may read this";

/** A key of 256 bits, another for each number. */
function key(number: number): Uint8Array {
  return new Uint8Array(32).fill(number);
}

const K1 = { keys: { k1: key(1) }, current: "k1" };
/** Keys in rotation: the old one still reads. */
const K2 = { keys: { k1: key(1), k2: key(2) }, current: "k2" };

/** Handles one message, and returns its payload. */
async function handled(
  connection: Connection,
  queue: Queue,
): Promise<unknown> {
  const seen: unknown[] = [];
  await runs(
    { connection },
    queue,
    ({ payload, headers }) => void seen.push(payload, headers),
    () => seen.length > 0,
  );
  const names = Object.keys(Object(seen[1]));
  assert.deepEqual(names.filter((each) => /^x-(?:encr|claim)/.test(each)), []);
  return seen[0];
}

/** Lets a handler fail until its message is parked. */
async function fails(
  { connection }: Pick<Stage, "connection">,
  queue: Queue,
  seen: unknown[] = [],
): Promise<void> {
  const parked = heard(connection, "parked");
  await runs({ connection }, queue, ({ payload }) => {
    seen.push(payload);
    throw new Error("the case wants it parked");
  }, () => parked.length === 1);
}

async function redrive(
  harness: Harness,
  failed: string,
  prepare: (connection: Connection) => void = () => {},
): Promise<void> {
  const connection = open(harness);
  prepare(connection);
  try {
    assert.deepEqual(await connection.redrive(failed), { moved: 1, kept: 0 });
  } finally {
    await connection.close();
  }
}

/** The middlewares that come with the library. */
export const WRAPPING: readonly ConformanceCase[] = [
  onStage(
    "encryption lets nobody read a body at the broker, over retries, parking and redriving, and while keys are rotated",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const failed = failedQueue(queue.name);
      stage.queue({}, failed);
      connection.use(encryption(K1));
      const rotated = open(harness).use(encryption(K2));
      await connection.send(queue, SECRET);
      const raw = await lying(harness, queue.name);
      assert.ok(!raw.text.includes("read"));
      assert.ok(!JSON.stringify(raw.headers).includes("read"));

      await connection.send(queue, { SECRET });
      const seen: unknown[] = [];
      await fails({ connection: rotated }, queue, seen);
      assert.deepEqual(seen, Array(3).fill({ SECRET }));
      await redrive(harness, failed); // it has no key
      await fails({ connection: rotated }, queue);
      await redrive(harness, failed, (each) => each.use(encryption(K2)));
      assert.deepEqual(await handled(rotated, queue), { SECRET });

      await rotated.send(queue, new Uint8Array([1, 2, 3]));
      assert.deepEqual(
        await handled(rotated, queue),
        new Uint8Array([1, 2, 3]),
      );
      await rotated.close();
    },
  ),
  onStage(
    "a message that cannot be decrypted is parked: another's key, a changed body, a body of another message, or a plain one",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const failed = failedQueue(queue.name);
      stage.queue({}, failed);
      const changing = { now: "" };
      const [sending, other] = [open(harness), open(harness)];
      let before: Uint8Array | undefined;
      sending.use(encryption(K1)).use({
        publish({ body }, next) {
          const own = body;
          if (changing.now === "body") {
            body = body.with(body.length - 1, ((body.at(-1) ?? 0) + 1) % 256);
          } else if (changing.now === "swapped") body = before ?? body;
          before = own;
          return next({ body });
        },
      });
      other.use(encryption({ keys: { k9: key(9) }, current: "k9" }));
      connection.use(encryption(K1));
      const errors: string[] = [];
      const parked: string[] = [];
      connection.use({
        event(event) {
          if (event.type !== "parked") return;
          const isUnread = event.error instanceof DecodeError;
          errors.push(isUnread ? event.error.message : String(event.error));
          parked.push(event.to.name);
        },
      });
      const seen: unknown[] = [];
      const consumer = connection.consumer(queue);
      const running = consumer.run(({ payload }) => void seen.push(payload));
      const plain = open(harness);
      await plain.send(queue, "plain");
      await until(() => errors.length === 1, "the plain one");
      await other.send(queue, "other");
      await until(() => errors.length === 2, "the other's");
      await sending.send(queue, "first");
      for (changing.now of ["body", "swapped"]) {
        await sending.send(queue, "second");
      }
      changing.now = "";
      await until(() => errors.length === 4, "the changed ones");
      await sending.send(queue, "last");
      await until(() => seen.length === 2, "the others");
      await consumer.cancel();
      await arrives(running, "the end of run()");
      assert.deepEqual(seen.toSorted(), ["first", "last"]);
      assert.match(errors[0] ?? "", /is not encrypted/);
      assert.match(errors[1] ?? "", /no key "k9" here/);
      assert.match(errors[2] ?? "", /was changed/);
      assert.match(errors[3] ?? "", /is that of another message/);
      assert.deepEqual(new Set(parked), new Set([failed]));
      await Promise.all([sending, other, plain].map((each) => each.close()));
    },
  ),
  onStage(
    "a claim check keeps a large body in its store until the ack, over retries, parking and redriving",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const failed = failedQueue(queue.name);
      stage.queue({}, failed);
      const store = createMemoryClaimStore();
      connection.use(claimCheck({ store, over: 100 }));
      const large = "x".repeat(1000);
      await connection.send(queue, "small");
      assert.equal(await handled(connection, queue), "small");
      assert.equal(store.size, 0);
      await connection.send(queue, large);
      assert.equal(store.size, 1);
      const seen: unknown[] = [];
      await fails({ connection }, queue, seen);
      assert.deepEqual(seen, Array(3).fill(large));
      assert.equal(store.size, 1);
      await redrive(harness, failed);
      assert.equal(await handled(connection, queue), large);
      await until(() => store.size === 0, "the removal");

      await connection.send(queue, large);
      const raw = await lying(harness, queue.name);
      assert.equal(raw.text, "");
      assert.equal(store.size, 1); // nobody acked it who knows of the store
    },
  ),
  onStage(
    "a claim check keeps the body of a message that several queues may have until its expiry",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "fanout" });
      const queues = [stage.queue({ exchange }), stage.queue({ exchange })];
      const store = createMemoryClaimStore();
      connection.use(claimCheck({ store, over: 100 }));
      await connection.declare(queues);
      const large = "x".repeat(1000);
      await connection.producer({ exchange }).publish(large);
      for (const queue of queues) {
        assert.equal(await handled(connection, queue), large);
        assert.equal(store.size, 1);
      }
      const [one, two] = [stage.queue(), stage.queue()];
      await connection.declare([one, two]);
      for (const more of ["CC", "BCC"]) {
        const headers = { [more]: [two.name] };
        await connection.send(one, large, { headers });
        assert.equal(await handled(connection, one), large);
        assert.equal(await handled(connection, two), large);
      }
    },
  ),
  onStage(
    "compression over a size is read by everybody, and compressed bodies can be encrypted and kept in a store",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const plain = open(harness);
      connection.use(compression({ over: 100 }));
      const text = "long ".repeat(200);
      await connection.send(queue, text);
      await connection.send(queue, "short");
      const sizes: [unknown, number][] = [];
      await runs({ connection: plain }, queue, ({ payload, body }) => {
        sizes.push([payload, body.length]);
      }, () => sizes.length === 2);
      const found = new Map(sizes);
      assert.equal(found.get("short"), 5);
      assert.ok((found.get(text) ?? 1000) < 200);

      const store = createMemoryClaimStore();
      connection.use(encryption(K1)).use(claimCheck({ store, over: 10 }));
      await connection.send(queue, text);
      assert.equal(store.size, 1);
      const seen: unknown[] = [];
      await runs({ connection }, queue, (message) => {
        seen.push(message.payload, message.contentType);
      }, () => seen.length > 0);
      assert.deepEqual(seen, [text, "text/plain"]);
      await until(() => store.size === 0, "the removal");
      await plain.close();
    },
  ),
  onStage(
    "requests and answers are encrypted, and kept in a store, too",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const store = createMemoryClaimStore();
      const serving = open(harness);
      for (const each of [connection, serving]) {
        each.use(encryption(K1)).use(claimCheck({ store, over: 1000 }));
      }
      const consumer = serving.consumer<string>(queue);
      const running = consumer.serve(({ payload }) => payload + payload);
      for (const text of ["short", "long".repeat(500)]) {
        assert.equal(
          await connection.request(text, { routingKey: queue.name }),
          text + text,
        );
      }
      await until(() => store.size === 0, "the removals");
      await consumer.cancel();
      await arrives(running, "the end of serve()");
      await serving.close();
    },
  ),
  onStage(
    "logging tells of publishes, handlers and failures, and of no payload",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      stage.queue({}, failedQueue(queue.name));
      const lines: LogLine[] = [];
      connection.use(logging({ log: (line) => lines.push(line) }));
      const headers = { secret: SECRET };
      await connection.send(queue, SECRET, { headers, messageId: "m1" });
      const parked = heard(connection, "parked");
      await runs({ connection }, queue, () => {
        throw new Error("at amqp://me:hunter22@host/");
      }, () => parked.length === 1);
      const told = lines.map(({ event, level, attempt }) =>
        [event, level, attempt] as const
      );
      // The next attempt may begin before the last one's publish is confirmed.
      told.sort(([, , one = 0], [, , other = 0]) => one - other);
      assert.deepEqual(told, [
        ["connected", "info", undefined],
        ["published", "info", undefined],
        ["handled", "error", 1],
        ["retried", "warn", 1],
        ["handled", "error", 2],
        ["retried", "warn", 2],
        ["handled", "error", 3],
        ["parked", "error", 3],
      ]);
      for (const { messageId, event } of lines.slice(1)) {
        assert.equal(messageId, "m1", event);
      }
      const all = JSON.stringify(lines);
      assert.ok(!all.includes(SECRET) && !all.includes("hunter22"), all);
    },
  ),
];
