/** Messages that can be read and not be written again, on a store. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ClosedError,
  type Connection,
  type ConnectionEvent,
  createConnection,
  EncodeError,
  Exchange,
  PublishError,
  Queue,
  SettlementError,
  UnsupportedError,
} from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import type { FieldTable } from "../../../model/field_table.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
import { withChannels } from "../../support/changed_channels.ts";
import { message, open, QUEUE } from "../../support/stores.ts";
import { changed, type Changes } from "../../support/stores.ts";

/** As a store that writes JSON, and takes so many characters of headers. */
function picky(inner: MemoryStore, room = Infinity): Changes {
  return {
    messages: {
      put(items, options) {
        for (const { message: { properties: { headers } } } of items) {
          if (Object.values(headers ?? {}).some(Number.isNaN)) {
            return Promise.reject(new EncodeError("NaN has no form in JSON"));
          }
          if (JSON.stringify(headers ?? {}).length > room) {
            const code = "message-too-large";
            return Promise.reject(new PublishError("no room", { code }));
          }
        }
        return inner.messages.put(items, options);
      },
    },
  };
}

interface Stage extends AsyncDisposable {
  readonly broker: MemoryBroker;
  readonly connection: Connection;
  readonly work: Queue;
  readonly events: ConnectionEvent[];
  /** Puts a message as other programs do. */
  inject(headers: FieldTable): Promise<void>;
}

async function stage(
  changes: (inner: MemoryStore) => Changes,
): Promise<Stage> {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const stores: MemoryStore[] = [];
  const connection = createConnection("picky://", {
    transport: createStoreTransport({
      name: "picky",
      open: (_, options) => {
        const inner = new MemoryStore(broker, options);
        stores.push(inner);
        return Promise.resolve(changed(inner, changes(inner)));
      },
    }),
  });
  const events: ConnectionEvent[] = [];
  const watching = (async () => {
    for await (const event of connection.events()) events.push(event);
  })();
  const exchange = new Exchange("dlx", { type: "fanout" });
  const work = new Queue("work", { deadLetterExchange: exchange });
  await connection.declare([exchange, new Queue("dead", { exchange }), work]);
  return {
    broker,
    connection,
    work,
    events,
    async inject(headers) {
      const injected = {
        ...message("", "work"),
        properties: { messageId: "m", headers },
      };
      await stores[0]?.messages.put([{
        queue: "work",
        message: injected,
        ttl: undefined,
      }]);
    },
    async [Symbol.asyncDispose]() {
      await connection.close();
      await watching;
    },
  };
}

/** Runs a handler that throws until the connection tells that something happened. */
async function failUntil(
  { connection, work, events }: Stage,
  holds: () => boolean,
  attempts?: number,
): Promise<number> {
  let calls = 0;
  const stop = new AbortController();
  const running = connection.consumer(work).run(() => {
    calls++;
    throw new Error("the handler fails");
  }, {
    signal: stop.signal,
    retry: attempts === undefined ? false : { attempts, backoff: 0 },
  });
  const late = AbortSignal.timeout(15_000);
  while (!holds()) {
    assert(!late.aborted, `it did not come: ${Deno.inspect(events)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  stop.abort();
  await running;
  return calls;
}

for (const attempts of [undefined, 3]) {
  const title = attempts === undefined ? "no retry" : `${attempts} attempts`;
  Deno.test(`a message that cannot be written again is quarantined as it is, told, listed, and put back (${title})`, async () => {
    await using opened = await stage(picky);
    const { broker, connection, events, inject } = opened;
    await inject({ n: NaN });
    const isTold = () => events.some(({ type }) => type === "quarantined");
    const calls = await failUntil(opened, isTold, attempts);
    assertEquals(calls, 1);
    const told = events.find((each) => each.type === "quarantined");
    assert(told?.type === "quarantined");
    assertEquals([told.queue, told.messageId, told.count], ["work", "m", 1]);
    assert(told.error instanceof EncodeError);
    assertEquals(
      [broker.queue("work")?.size, broker.queue("dead")?.size],
      [0, 0],
    );
    const quarantine = connection.quarantine("work");
    const listed = await quarantine.list();
    assertEquals(
      listed.map(({ properties }) => properties.headers),
      [{ n: NaN }],
    );
    assertEquals(await quarantine.putBack(listed), 1);
    assertEquals(await quarantine.putBack(listed), 0);
    assertEquals(broker.queue("work")?.size, 1);
    for await (const { headers, ack } of connection.consumer("work")) {
      assertEquals(headers, { n: NaN });
      void ack;
      break;
    }
  });
}

Deno.test("a dead letter with no room for what would be added goes without it", async () => {
  await using opened = await stage((inner) => picky(inner, 60));
  const { broker, connection, inject } = opened;
  await inject({ long: "x".repeat(48) });
  const calls = await failUntil(
    opened,
    () => broker.queue("dead")?.size === 1,
    2,
  );
  assertEquals(calls, 1);
  for await (const each of connection.consumer("dead")) {
    assertEquals(each.headers, { long: "x".repeat(48) });
    await each.ack();
    break;
  }
});

Deno.test("a dead letter that has no room at all is quarantined", async () => {
  await using opened = await stage((inner) => picky(inner, 20));
  const { connection, inject, events } = opened;
  await inject({ long: "x".repeat(48) });
  const isTold = () => events.some(({ type }) => type === "quarantined");
  assertEquals(await failUntil(opened, isTold, 3), 1);
  assertEquals((await connection.quarantine("work").list()).length, 1);
});

Deno.test("messages in quarantine go with their queue", async () => {
  await using opened = await stage(picky);
  const { connection, inject, events, work } = opened;
  await inject({ n: NaN });
  await failUntil(
    opened,
    () => events.some(({ type }) => type === "quarantined"),
  );
  const channel = await connection.channel();
  await channel.deleteQueue("work");
  await connection.declare(work);
  assertEquals(await connection.quarantine(work).list(), []);
});

Deno.test("a message that is no longer ours is told so, and not counted", async () => {
  const events: unknown[] = [];
  const { channel, connection, store } = await open((inner) => ({
    ...picky(inner),
    quarantine: { add: (reservations) => Promise.resolve(reservations) },
  }));
  await channel.declareQueue({
    ...QUEUE,
    arguments: { "x-dead-letter-exchange": "amq.fanout" },
  });
  await channel.declareQueue({ ...QUEUE, name: "dead" });
  await channel.bind({
    source: "amq.fanout",
    destination: { kind: "queue", name: "dead" },
    routingKey: "",
    arguments: {},
  });
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  store.messages.put = () => Promise.reject(new EncodeError("no"));
  await assertRejects(
    () => channel.reject(delivery.deliveryTag, { requeue: false }),
    SettlementError,
  );
  assertEquals(events, []);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a store without a quarantine keeps the message, and says so", async () => {
  const { channel, connection, store } = await open(picky);
  store.quarantine = undefined;
  await channel.declareQueue({
    ...QUEUE,
    arguments: {
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": "q",
    },
  });
  await channel.publish(message("", "q"));
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  const { put } = store.messages;
  store.messages.put = () => Promise.reject(new EncodeError("no"));
  await assertRejects(
    () => channel.reject(delivery.deliveryTag, { requeue: false }),
    UnsupportedError,
    "is kept",
  );
  store.messages.put = put;
  await assertRejects(
    async () => await channel.listQuarantined?.("q", { limit: 1 }),
    UnsupportedError,
  );
  await assertRejects(
    async () => await channel.putBack?.("q", undefined),
    UnsupportedError,
  );
  await connection[Symbol.asyncDispose]();
});

Deno.test("a channel that is closed, and a signal that is aborted, leave the quarantine alone", async () => {
  let asked = 0;
  const { channel, connection } = await open(() => ({
    quarantine: {
      list: () => Promise.resolve(void asked++).then(() => []),
      putBack: () => Promise.resolve(asked++),
    },
  }));
  const options = { signal: AbortSignal.abort(new Error("enough")) };
  const calls = (options: object) => [
    async () => await channel.listQuarantined?.("q", { limit: 1, ...options }),
    async () => await channel.putBack?.("q", undefined, options),
  ];
  for (const call of calls(options)) await assertRejects(call, Error, "enough");
  await channel[Symbol.asyncDispose]();
  for (const call of calls({})) {
    await assertRejects(call, ClosedError, "the channel is closed");
  }
  assertEquals(asked, 0);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a hundred messages in quarantine are listed unless more or fewer are asked for", async () => {
  const limits: number[] = [];
  const transport = withChannels((channel) => {
    channel.listQuarantined = (_, { limit }) => {
      limits.push(limit);
      return Promise.resolve([]);
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  const quarantine = connection.quarantine("q");
  for (const options of [undefined, {}, { limit: 1 }, { limit: 1000 }]) {
    assertEquals(await quarantine.list(options), []);
  }
  assertEquals(limits, [100, 100, 1, 1000]);
});
