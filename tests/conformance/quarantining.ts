import assert from "node:assert/strict";
import { isStoreTransport, type Store } from "../../transports/store/mod.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import { Failing } from "./failing.ts";
import type { PartChanges } from "./parts.ts";
import { open } from "./stage.ts";
import { appears, arrives, bytes, soon, textOf, unique } from "./support.ts";

const TEXTS = ["bad 1", "bad 2", "bad 3"];

/** A message that is taken for the first time and begins so is handed on as unreadable. */
function unreadable(store: Store): PartChanges {
  return {
    messages: {
      reserve: async (...call) => {
        const reserved = await store.messages.reserve(...call);
        for (const each of reserved.reservations) {
          const { message, redelivered } = each;
          if ("error" in message || redelivered) continue;
          const text = new TextDecoder().decode(message.body);
          if (!TEXTS.includes(text)) continue;
          Object.defineProperty(each, "message", {
            value: { error: new Error("unreadable"), body: bytes(text) },
          });
        }
        return reserved;
      },
    },
  };
}

/** A quarantined message is kept on the broker, reported, and can be put back. */
export const QUARANTINING: readonly ConformanceCase[] = [
  onHarness(
    "several messages in quarantine are told of and counted, listed from the oldest on, and put back in order",
    async (harness) => {
      const { transport } = harness;
      assert.ok(isStoreTransport(transport));
      const failing = new Failing(
        "quarantine.add",
        () => new Error(),
        unreadable,
      );
      const connection = open({
        ...harness,
        transport: transport.wrapping((store) => failing.wrap(store)),
      });
      const plain = open(harness);
      const name = unique("queue");
      try {
        const told: unknown[] = [];
        const watching = (async () => {
          for await (const event of connection.events()) {
            if (event.type !== "quarantined") continue;
            told.push([event.queue, event.error.message, event.count]);
            if (told.length === TEXTS.length) return;
          }
        })();
        const channel = await connection.channel();
        const others = await plain.channel();
        await channel.declareQueue({
          name,
          durable: true,
          exclusive: false,
          autoDelete: false,
          arguments: {},
        }, soon());
        const producer = connection.producer({ routingKey: name });
        for (const text of TEXTS) {
          await producer.publish(text);
          const delivery = await appears(
            () => channel.get(name, soon()),
            `"${text}"`,
          );
          await channel.reject(delivery.deliveryTag, {
            requeue: false,
            ...soon(),
          });
        }
        await arrives(watching, "the events");
        assert.deepEqual(told, [1, 2, 3].map((i) => [name, "unreadable", i]));
        // Another connection finds them: they are on the broker.
        const quarantine = plain.quarantine(name);
        const listed = (await quarantine.list()).map(({ body }) =>
          new TextDecoder().decode(body)
        );
        assert.ok(listed.length > 0, "the oldest is listed");
        assert.deepEqual(listed, TEXTS.slice(0, listed.length));
        assert.equal(await others.get(name, soon()), undefined);
        assert.equal(await quarantine.putBack(), TEXTS.length);
        const back: (string | undefined)[] = [];
        while (back.length < TEXTS.length) {
          const found = await appears(
            () => others.get(name, soon()),
            "the message that was put back",
          );
          back.push(textOf(found));
          await others.ack(found.deliveryTag, soon());
        }
        if (harness.unordered !== undefined) back.sort();
        assert.deepEqual(back, TEXTS);
        assert.deepEqual(await quarantine.list(), []);
        assert.equal(await quarantine.putBack(), 0);
        await others.deleteQueue(name, soon());
      } finally {
        await connection.close();
        await plain.close();
      }
    },
    { needs: ["quarantine"], wraps: true },
  ),
];
