import assert from "node:assert/strict";
import {
  AccessRefusedError,
  ChannelError,
  type Connection,
  Exchange,
  Queue,
} from "../../mod.ts";
import { turn } from "../../async/turn.ts";
import { isStoreTransport } from "../../transports/store/mod.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import type { Harness } from "./harness.ts";
import { Failing, FAILURES, persist } from "./failing.ts";
import type { Verb } from "./parts.ts";
import { open } from "./stage.ts";
import { arrives, PATIENCE, soon, unique, until } from "./support.ts";

/** The verbs that every store has, and that a message meets on its way. */
const VERBS = [
  "topology.apply",
  "topology.read",
  "messages.put",
  "messages.reserve",
  "messages.remove",
  "messages.release",
] as const;

/** Handles until what is asked for has been seen; a consumer that ended says so, and is begun again. */
async function handle(
  connection: Connection,
  [work, dead]: readonly [Queue, Queue],
  failing: Failing,
): Promise<readonly string[]> {
  const seen: string[] = [];
  const stop = new AbortController();
  const { signal } = stop;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const note = (what: string) => {
    seen.push(what);
    const wanted = ["done", "requeued", "retried", "dead"];
    if (wanted.every((each) => seen.includes(each))) resolve();
  };
  const running = async () => {
    while (!signal.aborted) {
      const ending = new AbortController();
      await connection.consumer<string>(work).run(async (message) => {
        const { payload, headers, deliveryInfo } = message;
        failing.again();
        if (payload === "dead") throw new Error("the case wants it dead");
        if (payload === "retried" && headers["x-attempts"] === undefined) {
          throw new Error("the case wants it again");
        }
        if (payload === "requeued" && !deliveryInfo.redelivered) {
          return await message.requeue();
        }
        note(payload);
      }, {
        signal: AbortSignal.any([signal, ending.signal]),
        retry: { attempts: 2, backoff: 0 },
        // A message that cannot be parked is kept for ten seconds, or until its run ends.
        onError: (error) => {
          if (error instanceof AccessRefusedError) ending.abort();
        },
      }).catch(turn);
    }
  };
  const burying = async () => {
    while (!signal.aborted) {
      await connection.consumer<string>(dead)
        .run(({ payload }) => note(payload), { signal }).catch(turn);
    }
  };
  const ended = Promise.all([running(), burying()]);
  try {
    await arrives(done, `the last of four`, 3 * PATIENCE).catch((error) => {
      throw new Error(`Of what was published came ${seen}`, { cause: error });
    });
  } finally {
    stop.abort();
    await ended;
  }
  return seen;
}

async function failOnce(
  harness: Harness,
  verb: Verb,
  error: () => Error,
): Promise<void> {
  const failing = new Failing(verb, error);
  const { transport } = harness;
  assert.ok(isStoreTransport(transport));
  const wrapped = transport.wrapping((store) => failing.wrap(store));
  const connection = open({ ...harness, transport: wrapped });
  const exchange = new Exchange(unique("exchange"), { type: "direct" });
  const dead = new Queue(unique("dead"), { exchange, routingKey: "dead" });
  const work = new Queue(unique("work"), {
    deadLetterExchange: exchange,
    deadLetterRoutingKey: "dead",
  });
  try {
    await connection.connect();
    const isOfTables = verb.startsWith("topology.");
    failing.armed = isOfTables;
    await persist(() => connection.declare([dead, work]));
    const producer = connection.producer<string>({ routingKey: work.name });
    failing.armed = verb === "messages.put";
    for (const each of ["done", "requeued", "retried", "dead"]) {
      await persist(() => producer.publish(each));
    }
    failing.rest();
    failing.armed = verb === "messages.reserve";
    await handle(connection, [work, dead], failing);
    // With local tables, no store is asked for them.
    const asked = failing.isThere
      ? failing.failures > 0
      : verb.startsWith("topology.");
    assert.ok(asked, `${verb} was not called`);
    await connection.close();
    // Nothing is left of it anywhere: what is held by nobody would come.
    const after = open(harness);
    const channel = await after.channel();
    await after.declare([dead, work]);
    for (const { name } of [work, dead]) {
      const left = await channel.get(name, soon());
      assert.equal(left?.routingKey, undefined);
    }
    await after.close();
  } finally {
    await connection.close();
    const cleaning = open(harness);
    const channel = await cleaning.channel();
    for (const { name } of [work, dead]) {
      await channel.deleteQueue(name, soon());
    }
    await channel.deleteExchange(exchange.name, soon());
    await cleaning.close();
  }
}

/** Consumes from a queue alone, while the store fails once as it is asked for messages. */
async function consumeAlone(harness: Harness): Promise<void> {
  const failing = new Failing(
    "messages.reserve",
    () =>
      new ChannelError("Cannot do that now: the case lets it fail", {
        code: "channel-closed",
      }),
  );
  const { transport } = harness;
  assert.ok(isStoreTransport(transport));
  const wrapped = transport.wrapping((store) => failing.wrap(store));
  const connection = open({ ...harness, transport: wrapped });
  const queue = new Queue<string>(unique("alone"));
  const channel = await connection.channel();
  const stop = new AbortController();
  const seen: string[] = [];
  try {
    await connection.declare(queue);
    const consumer = connection.consumer<string>(queue, { exclusive: true });
    const running = consumer.run(({ payload }) => void seen.push(payload), {
      signal: stop.signal,
    });
    await connection.send(queue, "before");
    await until(() => seen.length === 1, "the first message");
    failing.armed = true;
    for (let i = 0; failing.failures === 0; i++) {
      await connection.send(queue, "meanwhile");
      await until(
        () => failing.failures > 0 || seen.length === i + 2,
        "a failure, or the next message",
      );
    }
    await connection.send(queue, "after");
    await until(() => seen.includes("after"), "what came after the failure");
    const { consumerCount } = await channel.checkQueue(queue.name, soon());
    // Some brokers tell nobody how many there are.
    if (consumerCount !== undefined) assert.equal(consumerCount, 1);
    stop.abort();
    await running;
  } finally {
    stop.abort();
    await channel.deleteQueue(queue.name, soon());
    await connection.close();
  }
}

/** Each verb of a store fails once: its caller is told, and nothing is lost or stuck. */
export const FAILING_ONCE: readonly ConformanceCase[] = [
  onHarness(
    "a consumer that is alone in a queue consumes on when the store has failed once",
    consumeAlone,
    { needs: ["exclusive"], wraps: true },
  ),
  ...VERBS.flatMap((verb) =>
    Object.entries(FAILURES).map(([kind, error]) =>
      onHarness(
        `if ${verb}() fails once with ${kind}, nothing is lost, and nothing stuck`,
        (harness) => failOnce(harness, verb, error),
        { needs: ["dead-letter"], wraps: true },
      )
    )
  ),
];
