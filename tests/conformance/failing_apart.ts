import assert from "node:assert/strict";
import {
  isStoreTransport,
  type Reservation,
  type Store,
} from "../../transports/store/mod.ts";
import { Broker, connect } from "./broker.ts";
import { type CaseOptions, type ConformanceCase, onHarness } from "./case.ts";
import type { Harness } from "./harness.ts";
import { Failing, FAILURES, persist } from "./failing.ts";
import type { PartChanges, Verb } from "./parts.ts";
import { open } from "./stage.ts";
import {
  arrives,
  bytes,
  type Collector,
  soon,
  textOf,
  until,
} from "./support.ts";

/** One verb, and how it comes to be called. */
interface Deed {
  readonly name: Verb;
  /** The changes to the store: a verb that it lacks, or a limit. */
  readonly changes?: (store: Store) => PartChanges;
  readonly options?: CaseOptions;
  /** Lets it be called, and fail once; shows that nothing is lost or stuck. */
  run(broker: Broker, failing: Failing): Promise<void>;
}

/** How long the shortened leases are, ms. */
const LEASE = 600;

/** Takes what a store reserves for what cannot be read. */
export function unreadable(store: Store): PartChanges {
  return {
    messages: {
      reserve: async (...call) => {
        const reserved = await store.messages.reserve(...call);
        for (const each of reserved.reservations) {
          if (isText(each, "bad")) {
            const message = {
              error: new Error("unreadable"),
              body: bytes("bad"),
            };
            Object.defineProperty(each, "message", { value: message });
          }
        }
        return reserved;
      },
    },
  };
}

function isText({ message, redelivered }: Reservation, text: string): boolean {
  return !("error" in message) && !redelivered &&
    new TextDecoder().decode(message.body) === text;
}

/** Rejects the unreadable message of a queue, as often as it takes to put it into quarantine. */
async function quarantine(broker: Broker, queue: string): Promise<void> {
  await broker.put(queue, "bad");
  const { deliveryTag } = await broker.getSoon(queue);
  await persist(() =>
    broker.channel.reject(deliveryTag, { requeue: false, ...soon() })
  );
}

/** Lists the quarantined messages of a queue, as often as it takes. */
function list(broker: Broker, queue: string) {
  const { channel } = broker;
  assert.ok(channel.listQuarantined !== undefined);
  return persist(() =>
    channel.listQuarantined?.(queue, { limit: 10, ...soon() }) ??
      Promise.resolve([])
  );
}

/** Puts the quarantined messages back, as often as it takes, and finds them in the queue. */
export async function restore(broker: Broker, queue: string): Promise<void> {
  const { channel } = broker;
  assert.equal((await list(broker, queue)).length, 1);
  const back = await persist(() =>
    channel.putBack?.(queue, undefined, soon()) ?? Promise.resolve(0)
  );
  assert.equal(back, 1);
  const delivery = await broker.getSoon(queue);
  assert.equal(new TextDecoder().decode(delivery.body), "bad");
  await channel.ack(delivery.deliveryTag, soon());
  assert.deepEqual(await list(broker, queue), []);
}

const inQuarantine = (name: Verb): Deed => ({
  name,
  options: { needs: ["quarantine"] },
  changes: unreadable,
  run: async (broker, failing) => {
    const queue = await broker.queue();
    failing.armed = true;
    await quarantine(broker, queue);
    await restore(broker, queue);
    assert.equal(await broker.get(queue), undefined);
  },
});

const VERBS: readonly Deed[] = [
  {
    name: "messages.count",
    run: async (broker, failing) => {
      const queue = await broker.queue();
      await broker.put(queue, "kept");
      failing.armed = true;
      await persist(() => broker.count(queue));
      await broker.untilCount(queue, 1);
      assert.deepEqual(await broker.drain(queue), ["kept"]);
    },
  },
  {
    name: "messages.purge",
    run: async (broker, failing) => {
      const queue = await broker.queue();
      const { deliveryTag } = await broker.put(queue, "held")
        .then(() => broker.getSoon(queue));
      await broker.put(queue, "gone");
      await broker.untilCount(queue, 1);
      failing.armed = true;
      await persist(() => broker.channel.purgeQueue(queue, soon()));
      await broker.untilCount(queue, 0);
      await broker.channel.reject(deliveryTag, { requeue: true, ...soon() });
      assert.equal(textOf(await broker.getSoon(queue)), "held");
    },
  },
  {
    name: "messages.drop",
    changes: (store) =>
      store.messages.drop === undefined
        ? { messages: { drop: (...call) => store.messages.remove(...call) } }
        : {},
    run: async (broker, failing) => {
      const { channel } = broker;
      const queue = await broker.queue();
      await broker.put(queue, "rejected");
      const { deliveryTag } = await broker.getSoon(queue);
      failing.armed = true;
      await persist(() =>
        channel.reject(deliveryTag, { requeue: false, ...soon() })
      );
      assert.equal(await broker.get(queue), undefined);
    },
  },
  inQuarantine("quarantine.add"),
  inQuarantine("quarantine.list"),
  inQuarantine("quarantine.putBack"),
  {
    name: "messages.renew",
    changes: (store) => ({
      limits: { ...store.limits, lease: LEASE },
      ...(store.messages.renew === undefined &&
        { messages: { renew: () => Promise.resolve([]) } }),
    }),
    run: async (broker, failing) => {
      const queue = await broker.queue();
      await broker.put(queue, "long");
      const lost: unknown[] = [];
      const collector = await broker.consume(queue, {
        onLost: (tags) => lost.push(...tags),
      });
      const { deliveryTag } = await collector.next();
      failing.armed = true;
      await until(() => failing.failures === 1, "a renewal that fails");
      const { calls } = failing;
      await until(() => failing.calls > calls + 1, "two renewals more");
      // It is ours all the time: nobody else has it, and it can be settled.
      assert.deepEqual(lost, []);
      assert.equal(collector.all.length, 1);
      await broker.channel.ack(deliveryTag, soon());
      assert.equal(await broker.get(queue), undefined);
    },
  },
  {
    // Without it, `put` carries the message, which has a case of its own.
    name: "broadcasts.send",
    run: async (broker, failing) => {
      const exchange = await broker.exchange("fanout");
      const queues = [await broker.queue(), await broker.queue()];
      const collectors: Collector[] = [];
      for (const queue of queues) {
        await broker.bind(queue, exchange);
        collectors.push(await broker.consume(queue));
      }
      failing.armed = true;
      await persist(() => broker.publish(exchange, "", "to all"));
      for (const collector of collectors) {
        const delivery = await collector.next();
        assert.equal(textOf(delivery), "to all");
        await broker.channel.ack(delivery.deliveryTag, soon());
      }
      // `put` carries it to queues, and broadcasts it if it leads to none.
      const nobodys = await broker.exchange("fanout");
      await persist(() => broker.publish(nobodys, "", "to none"));
    },
  },
  {
    name: "messages.promoteDue",
    options: { needs: ["delay"] },
    changes: (store) =>
      store.messages.promoteDue === undefined
        ? { messages: { promoteDue: () => Promise.resolve(300) } }
        : {},
    run: async (broker, failing) => {
      const queue = await broker.queue();
      const collector = await broker.consume(queue);
      failing.armed = true;
      await broker.publish("", queue, "late", { delay: 300 });
      await until(() => failing.failures === 1, "a call that fails");
      const { calls } = failing;
      await until(() => failing.calls > calls, "another call");
      const delivery = await collector.next();
      assert.equal(textOf(delivery), "late");
      await broker.channel.ack(delivery.deliveryTag, soon());
    },
  },
];

function failOnce(verb: Deed, error: () => Error): ConformanceCase["run"] {
  return async (harness: Harness) => {
    const { transport } = harness;
    assert.ok(isStoreTransport(transport));
    const failing = new Failing(verb.name, error, verb.changes);
    const wrapped = transport.wrapping((store) => failing.wrap(store));
    const broker = await Broker.open({ ...harness, transport: wrapped });
    try {
      await arrives(verb.run(broker, failing), "the end of the case");
      const expected = failing.isThere ? 1 : 0;
      assert.equal(failing.failures, expected, `${verb.name} was not called`);
    } finally {
      failing.rest();
      await broker[Symbol.asyncDispose]();
    }
  };
}

/** A store that ends, and says that it could not. */
async function failToEnd(harness: Harness, error: () => Error): Promise<void> {
  const { transport } = harness;
  assert.ok(isStoreTransport(transport));
  const ended: PromiseLike<void>[] = [];
  const wrapped = transport.wrapping((store) =>
    new Proxy(store, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        if (key !== Symbol.asyncDispose) return value.bind(target);
        return () => {
          const ending = target[Symbol.asyncDispose]();
          ended.push(ending);
          return ending.then(() => Promise.reject(error()));
        };
      },
    })
  );
  const connection = open({ ...harness, transport: wrapped });
  await connection.connect();
  await arrives(connection.close(), "the end of close()");
  assert.equal(connection.state.type, "closed");
  assert.equal(ended.length, 1);
  const bare = await connect({ ...harness, transport: wrapped });
  const ending = bare[Symbol.asyncDispose]();
  await arrives(Promise.allSettled([ending]), "the end of its disposal");
  const { type } = await arrives(bare.closed, "the end of the connection");
  assert.equal(type, "closed");
  await Promise.all(ended);
}

/** Verbs that no message needs on its way, or not each: the caller is told, or it is tried again. */
export const FAILING_APART: readonly ConformanceCase[] = VERBS.flatMap((verb) =>
  Object.entries(FAILURES).map(([kind, error]) =>
    onHarness(
      `if ${verb.name}() fails once with ${kind}, nothing is lost, and nothing stuck`,
      failOnce(verb, error),
      { ...verb.options, wraps: true },
    )
  )
).concat(
  Object.entries(FAILURES).map(([kind, error]) =>
    onHarness(
      `if a store ends with ${kind}, close() returns, and says that it is closed`,
      (harness) => failToEnd(harness, error),
      { wraps: true },
    )
  ),
);
