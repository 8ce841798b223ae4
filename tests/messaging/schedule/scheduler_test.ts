/** Schedules where the clock is set, and where their queue has what is none of theirs. */

import { assert, assertEquals } from "@std/assert";
import {
  type Connection,
  type ConnectionEvent,
  createConnection,
  Queue,
  SYSTEM_CLOCK,
} from "@dashi/mq";
import { createTestBroker, type TestBroker } from "@dashi/mq/testing";
import { PublishError } from "../../../model/errors.ts";
import { type Delivery, deliveryTag } from "../../../model/message.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  createStoreTransport,
  type MessageStore,
} from "../../../transports/store/mod.ts";
import { until } from "../../conformance/support.ts";
import { schedulerOf } from "../../support/scheduler.ts";
import { changed } from "../../support/stores.ts";
import type { Clock } from "../../../async/clock.ts";

/** The machine's clock, whose calendar is set by hand. */
class WallClock implements Clock {
  /** How far ahead it is, ms. */
  ahead = 0;
  now = SYSTEM_CLOCK.now;
  timer = SYSTEM_CLOCK.timer;
  wall(): number {
    return Date.now() + this.ahead;
  }
}

/** Takes messages until one is as wanted; returns their ids. */
async function takeUntil(
  connection: Connection,
  queue: Queue,
  isLast: (tick: number) => boolean,
): Promise<string[]> {
  const ids: string[] = [];
  for await (const message of connection.consumer(queue)) {
    ids.push(message.properties.messageId ?? "");
    await message.ack();
    if (isLast(Date.parse(String(message.headers["x-scheduled-at"])))) break;
  }
  return ids;
}

Deno.test("a clock that jumps ahead leaves no tick out, and one that is set back has the same ids again, which are known", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  const clock = new WallClock();
  // A second after a tick: none comes while the schedule is given.
  clock.ahead = 61_000 - Date.now() % 60_000;
  const { scheduler, close } = schedulerOf(url, clock);
  await using watching = createConnection(url);
  const queue = new Queue("beats");
  await watching.declare(queue);
  await scheduler.schedule("beat", { every: 60_000 }, { queue, missed: "all" });
  const begin = clock.wall();

  clock.ahead += 3_600_000;
  const end = clock.wall() - 60_000;
  const ahead = await takeUntil(watching, queue, (tick) => tick >= end);
  assertEquals(
    ahead,
    Array.from({ length: ahead.length }, (_, n) => {
      const first = (Math.floor(begin / 60_000) + 1) * 60_000;
      return `beat@${new Date(first + n * 60_000).toISOString()}`;
    }),
  );
  assert(ahead.length >= 59);

  const published = ahead.length;
  await until(() => scheduler.health().published === published, "the count");
  // Back, to shortly before a tick that was published: it comes again when it is time, under
  // the id that it had.
  const next = (Math.floor(begin / 60_000) + 5) * 60_000;
  clock.ahead = next - Date.now() - 3000;
  await until(() => scheduler.health().published > published, "the tick");
  assert(clock.wall() >= next);
  // By it the broker knows that it was published.
  assertEquals(await watching.queue(queue.name).get(), undefined);
  await close();
});

/** Gives a schedule that ticks each second, and waits for its first tick. */
async function beat(
  { clock }: TestBroker,
  connection: Connection,
  queue: Queue,
): Promise<void> {
  await clock.advanceUntil(
    connection.schedule("beat", { every: 1000 }, { queue }),
  );
  await clock.advance(1000);
  const message = await connection.queue(queue).get();
  assertEquals(message?.headers["x-schedule"], "beat");
  await message?.ack();
}

Deno.test("a message in the queue of a table that is none of its own is parked, and the others go on", async () => {
  const events: ConnectionEvent[] = [];
  await using broker = createTestBroker({
    connection: { onUnhandled: (event) => events.push(event) },
  });
  const { connection } = broker;
  const other = broker.connect();
  const table = new Queue("dashi.schedules");
  await other.send(table, "nothing of yours");
  await other.send(table, { layout: 2, type: "token", by: "", state: {} });
  await beat(broker, connection, new Queue("beats"));
  assertEquals(
    events.map(({ type }) => type).filter((type) => type !== "state"),
    ["parked", "parked"],
  );
  const parked = await other.queueStatus("dashi.schedules.failed");
  assertEquals(parked.messageCount, 2);
  assertEquals(connection.health().schedules.held, 1);
});

Deno.test("a schedule whose expression is none here is listed with the others, without its next tick", async () => {
  await using broker = createTestBroker({
    connection: { onUnhandled: () => {} },
  });
  const { connection, clock } = broker;
  const definition = {
    when: { cron: "each morning" },
    missed: "one",
    exchange: "",
    routingKey: "beats",
    properties: {},
    body: "",
  };
  const state = { version: 0, since: 0, from: 0, last: 0, definition };
  await broker.connect().send(new Queue("dashi.schedules"), {
    layout: 1,
    type: "token",
    by: "",
    state: { name: "newer", ...state },
  });
  await beat(broker, connection, new Queue("beats"));
  const listed = await clock.advanceUntil(connection.schedules());
  assertEquals(
    listed.map(({ name, next }) => [name, next !== undefined]),
    [["beat", true], ["newer", false]],
  );
});

Deno.test("a schedule whose token was removed at the broker is there again with the next definition", async () => {
  await using broker = createTestBroker({
    connection: { onUnhandled: () => {} },
  });
  const { connection, clock } = broker;
  const other = broker.connect();
  const queue = new Queue("beats");
  await beat(broker, connection, queue);
  await other.delete("dashi.schedules");
  await beat(broker, connection, queue);
  const listed = await clock.advanceUntil(other.schedules());
  assertEquals(listed.map(({ name }) => name), ["beat"]);
});

/** A transport that refuses the next token while it is told to. */
function refusing() {
  const told = { refuses: false };
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const transport = createStoreTransport({
    name: "refusing",
    open(_, { clock }) {
      const inner = new MemoryStore(broker, { clock });
      const put: MessageStore["put"] = (items, options) => {
        const isToken = items.some(({ queue, message }) =>
          queue === "dashi.schedules" &&
          new TextDecoder().decode(message.body).includes('"token"')
        );
        if (!told.refuses || !isToken) {
          return inner.messages.put(items, options);
        }
        told.refuses = false;
        return Promise.reject(
          new PublishError("Cannot put it: not now", {
            code: "publish-refused",
          }),
        );
      };
      return Promise.resolve(changed(inner, { messages: { put } }));
    },
  });
  return { told, transport };
}

for (const which of ["known", "new"]) {
  Deno.test(`a token of a schedule that is ${which} and cannot be written is given back with what was asked, and is seen to when it can`, async () => {
    const { told, transport } = refusing();
    const events: ConnectionEvent[] = [];
    await using connection = createConnection("refusing://", {
      transport,
      onUnhandled: (event) => events.push(event),
    });
    const give = (by: Connection) =>
      by.schedule("beat", { every: 1000 }, {
        queue: new Queue("beats"),
        timeout: 20_000,
      });
    if (which === "known") {
      const first = connection.clone();
      await give(first);
      await first.close();
    }
    told.refuses = true;
    const { name } = await give(connection);
    assertEquals([name, told.refuses], ["beat", false]);
    assertEquals((await connection.schedules()).length, 1);
    assertEquals(
      events.some(({ type }) => type === "consume-failed"),
      which === "known",
    );
  });
}

/** Somebody consumes from the table's queue, as a holder does, and has no room for a question. */
async function busyHolder(broker: TestBroker) {
  const other = broker.connect();
  const table = "dashi.schedules";
  await other.send(new Queue(table), "what it is busy with");
  const channel = await other.channel();
  const deliveries: Delivery[] = [];
  await channel.consume(table, (each) => deliveries.push(each), {
    prefetch: 1,
  });
  const connection = broker.connect();
  let answer: unknown;
  // A process that asks looks into the queue as all do.
  connection.schedules().then((list) => answer = list);
  return {
    other,
    deliveries,
    answer: () => answer,
    questions: async () => (await other.queueStatus(table)).messageCount,
    take: () => channel.ack(deliveries[0]?.deliveryTag ?? deliveryTag(0)),
  };
}

/** When the first look is, and how long a holder has then: waits are the longest here, by `random` of the broker. */
const [FIRST_LOOK, HOLDERS_TURN] = [375, 1250];

Deno.test("what was asked is left to a holder that is there for its turn, and answered by another after it", async () => {
  await using broker = createTestBroker();
  const { clock } = broker;
  const { answer, questions } = await busyHolder(broker);
  await clock.advance(FIRST_LOOK + HOLDERS_TURN - 1);
  assertEquals([answer(), await questions()], [undefined, 1]);
  await clock.advance(1);
  assertEquals([answer(), await questions()], [[], 0]);
});

Deno.test("a holder that takes in its turn what was asked answers it, and nobody else does", async () => {
  await using broker = createTestBroker();
  const { clock } = broker;
  const holder = await busyHolder(broker);
  await clock.advance(FIRST_LOOK + HOLDERS_TURN - 1);
  await holder.take();
  await clock.advance(1);
  assertEquals([holder.answer(), holder.deliveries.length], [undefined, 2]);
  const { replyTo = "", correlationId } = holder.deliveries[1]?.properties ??
    {};
  await holder.other.producer().publish([], {
    routingKey: replyTo,
    correlationId,
  });
  await clock.advance(0);
  assertEquals(holder.answer(), []);
});

Deno.test("health() and holds tell of schedules, and close() gives them back", async () => {
  await using broker = createTestBroker();
  const { connection } = broker;
  const other = broker.connect();
  await beat(broker, connection, new Queue("beats"));
  const { schedules, holds } = connection.health();
  assertEquals([schedules.taking, schedules.failures], [1, 0]);
  assert(schedules.published >= 1);
  assert(holds.includes("a table of schedules"), holds.join());
  await connection.close();
  const tokens = await other.queueStatus("dashi.schedules");
  assertEquals(tokens.messageCount, 1);
  assertEquals(connection.health().schedules.held, 0);
});

Deno.test("a connection takes part in a table from its first schedule there to its last", async () => {
  await using broker = createTestBroker();
  const { connection, clock } = broker;
  const queue = new Queue("ticks");
  const taking = () => connection.health().schedules.taking;
  for (const name of ["a", "b"]) {
    await clock.advanceUntil(
      connection.schedule(name, { every: 1000 }, { queue }),
    );
  }
  for (const [name, left] of [["a", 1], ["b", 0]] as const) {
    assertEquals(taking(), 1);
    await clock.advanceUntil(connection.unschedule(name));
    await clock.advance(1000);
    assertEquals(taking(), left);
  }
});
