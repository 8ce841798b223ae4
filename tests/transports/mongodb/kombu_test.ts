/** Messages and declarations that Kombu leaves in a MongoDB, and those of ours that it finds there. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import golden from "../../golden/mongodb_kombu_main.json" with { type: "json" };
import type { Fields } from "../../../transports/mongodb/port.ts";
import { formatPattern } from "../../../virtual/topic.ts";
import { messageTo, onMongodb, queueOf } from "../../support/mongodb.ts";

/** The documents of a collection in a case of the fixtures, without their ids. */
function fixture(name: string, when: string, collection: string): Fields[] {
  const found: unknown = golden.cases.find((each) => each.name === name);
  const documents = part(part(found, when), collection);
  assert(Array.isArray(documents));
  return documents.map(({ _id: _, ...rest }) => rest);
}

function part(value: unknown, name: string): unknown {
  assert(typeof value === "object" && value !== null);
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

/** A document as it can be compared: its payload parsed, what is by chance left out. */
function comparable({ _id: _, payload, ...rest }: Fields): Fields {
  const { properties, ...envelope } = JSON.parse(String(payload));
  const { delivery_tag: _tag, ...others } = properties;
  return { ...rest, payload: { ...envelope, properties: others } };
}

const textOf = (body: Uint8Array | undefined) => new TextDecoder().decode(body);

onMongodb(
  "messages that Kombu put are taken in its order, and ours lie as they do",
  async (database) => {
    const theirs = fixture(
      "publish_priorities",
      "collections_before_get",
      "messages",
    );
    await database.insert("messages", ...theirs);
    const { channel } = await database.connect();
    const taken: [string, number | undefined][] = [];
    for (let i = 0; i < 3; i++) {
      const delivery = await channel.get("q1", { noAck: true });
      taken.push([textOf(delivery?.body), delivery?.properties.priority]);
    }
    assertEquals(taken, [["p9", 9], ["p4", 4], ["p0", 0]]);
    for (const [text, priority] of [["p0", 0], ["p9", 9], ["p4", 4]] as const) {
      await channel.publish(messageTo("q1", text, {
        priority,
        contentType: "text/plain",
        contentEncoding: "utf-8",
      }));
    }
    const ours = await database.find("messages");
    assertEquals(ours.map(comparable), theirs.map(comparable));
  },
);

onMongodb(
  "bindings lie as Kombu's do, in the words of 5.7, and go with their queue",
  async (database) => {
    const { channel } = await database.connect();
    const bindings = fixture(
      "bindings",
      "collections_after",
      "messages.routing",
    )
      .map((each) =>
        each.pattern === null
          ? each
          : { ...each, pattern: formatPattern(String(each.routing_key)) }
      );
    for (const { exchange, queue, routing_key } of bindings) {
      const type = { de: "direct", te: "topic", fe: "fanout" } as const;
      const name = String(exchange);
      await channel.declareExchange({
        name,
        type: name === "de" ? type.de : name === "te" ? type.te : type.fe,
        durable: true,
        autoDelete: false,
        internal: false,
        arguments: {},
      });
      await channel.declareQueue(queueOf(String(queue)));
      await channel.bind({
        source: name,
        destination: { kind: "queue", name: String(queue) },
        routingKey: String(routing_key),
        arguments: {},
      });
    }
    const ours = (await database.find("messages.routing"))
      .map(({ _id: _, ...rest }) => rest);
    const byQueue = (a: Fields, b: Fields) =>
      String(a.queue) < String(b.queue) ? -1 : 1;
    assertEquals(ours.sort(byQueue), bindings.sort(byQueue));
    await channel.deleteQueue("t1");
    const left = (await database.find("messages.routing"))
      .map(({ queue }) => String(queue)).sort();
    assertEquals(left, ["d1", "f1"]);
  },
);

onMongodb(
  "bindings that Kombu writes are honoured from then on, and until it deletes them",
  async (database) => {
    const { channel } = await database.connect();
    const publish = (exchange: string, routingKey: string) =>
      channel.publish({ ...messageTo(""), exchange, routingKey });
    await database.insert("messages.routing", {
      exchange: "te",
      queue: "one",
      routing_key: "usd.*",
      pattern: "^usd\\..*?[^\\.]$", // as it was before 5.7
    });
    assertEquals(await publish("te", "usd.x"), {
      type: "accepted",
      queues: 1,
    });
    assertEquals(await publish("te", "usd.x.y"), {
      type: "accepted",
      queues: 0,
    });
    await database.insert("messages.routing", {
      exchange: "te",
      queue: "two",
      routing_key: "usd.#",
      pattern: formatPattern("usd.#"),
    });
    assertEquals(await publish("te", "usd.x"), {
      type: "accepted",
      queues: 2,
    });
    await database.documents.collection("messages.routing")
      .deleteMany({ queue: "one" });
    await publish("te", "usd.x");
    assertEquals(
      (await database.find("messages")).map(({ queue }) => queue),
      ["one", "one", "two", "two"],
    );
  },
);

onMongodb(
  "a document that is no message goes to onInvalid and aside, and the good ones behind it are delivered",
  async (database) => {
    const [good] = fixture(
      "publish_priorities",
      "collections_before_get",
      "messages",
    );
    assert(good !== undefined);
    const bad = [
      "no JSON",
      "",
      "[]",
      "null",
      '{"body": 1}',
      '{"body": "x", "properties": []}',
      7,
      null,
      undefined,
    ];
    for (const payload of bad) {
      await database.insert("messages", {
        queue: "q1",
        priority: 9,
        ...(payload === undefined ? {} : { payload }),
      });
      await database.insert("messages", good);
    }
    const connection = createConnection(database.url);
    const undecodable: string[] = [];
    const consumer = connection.consumer(new Queue("q1"), {
      prefetch: 4,
      onInvalid: (_, message) => {
        undecodable.push(textOf(message.body));
      },
    });
    let count = 0;
    for await (const message of consumer) {
      assertEquals(message.payload, "p0");
      await message.ack();
      if (++count === bad.length) break;
    }
    await connection.close();
    assertEquals(undecodable.slice(0, 3), ["no JSON", "", "[]"]);
    assertEquals(undecodable.length, bad.length);
    const aside = await database.find("messages");
    assertEquals(
      aside.map(({ queue, payload }) => [queue, payload]),
      bad.map((payload) => ["q1\x06\x16malformed", payload]),
    );
  },
);

onMongodb(
  "an expired message is not delivered, counted or left, though the server never removes it",
  async (database) => {
    const theirs = fixture("ttl", "collections_before_get", "messages");
    const at = (moment: number) => ({ expire_at: new Date(moment) });
    const past = Date.now() - 1;
    await database.insert(
      "messages",
      ...theirs.map((each) => ({ ...each, ...at(past) })),
      ...theirs.slice(0, 1).map((each) => ({
        ...each,
        ...at(Date.now() + 60_000),
      })),
    );
    const { channel, store } = await database.connect();
    await channel.declareQueue(queueOf("q1"));
    assertEquals(await store.messages.count("q1"), 1);
    const delivery = await channel.get("q1");
    assertEquals(textOf(delivery?.body), "1");
    assertEquals(await channel.get("q1"), undefined);
    const left = await database.find("messages");
    assertEquals(left.map(({ queue }) => queue), ["q1\x06\x16unacked"]);
    // The server must not remove messages that are worked on, though it could.
    assertEquals(left[0]?.expire_at, undefined);
    assert(delivery !== undefined);
    await channel.reject(delivery.deliveryTag, { requeue: true });
    const [again] = await database.find("messages");
    assert(again?.expire_at instanceof Date);
    assertEquals(again.queue, "q1");
  },
);

onMongodb(
  "a message with a time to live has Kombu's field, but for a queue that dead-letters",
  async (database) => {
    const { channel } = await database.connect();
    await channel.declareQueue(queueOf("q", { "x-message-ttl": 60_000 }));
    await channel.declareQueue(
      queueOf("d", { "x-dead-letter-exchange": "amq.fanout" }),
    );
    await channel.publish(messageTo("q"));
    await channel.publish(messageTo("d", "", { expiration: 60_000 }));
    const [plain, dead] = await database.find("messages");
    assert(plain?.expire_at instanceof Date && !("dead_at" in plain));
    assert(dead?.dead_at instanceof Date && !("expire_at" in dead));
  },
);

onMongodb("with ttl there are Kombu's indexes", async (database) => {
  await database.connect({ transportOptions: { ttl: true } });
  for (const name of ["messages", "messages.routing", "messages.queues"]) {
    const indexes = await database.documents.collection(name).indexes();
    const ttl = indexes.find(({ key }) => "expire_at" in key);
    assertEquals(ttl?.expireAfterSeconds, 0);
  }
  const indexes = await database.documents.collection("messages").indexes();
  assert(
    indexes.some(({ key }) =>
      JSON.stringify(key) === '{"queue":1,"priority":1,"_id":1}'
    ),
  );
});

onMongodb(
  "a delayed message is out of Kombu's sight, and then where it belongs",
  async (database) => {
    const { channel } = await database.connect();
    await channel.declareQueue(queueOf("q"));
    const deliveries: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    await channel.publish({ ...messageTo("q", "later"), delay: 200 });
    const [hidden] = await database.find("messages");
    assertEquals(hidden?.queue, "q\x06\x16delayed");
    await channel.consume("q", ({ body }) => {
      deliveries.push(textOf(body));
      resolve();
    }, { prefetch: 1 });
    await promise;
    assertEquals(deliveries, ["later"]);
  },
);
