import { assert, assertEquals, assertRejects } from "@std/assert";
import "amqplib"; // as an application may have done that moves from it
import { createConnection, PublishError, Queue } from "@dashi/mq";
import { decodeFields } from "../../../transports/amqp_protocol/fields.ts";
import { FrameWriter } from "../../../transports/amqp_client/frame_writer.ts";
import { CLIENTS } from "../../support/amqp.ts";
import { FakeAmqp, type Peer } from "../../support/fake_amqp.ts";

const OPTIONS = {
  heartbeat: 0,
  operationTimeout: 20_000,
  reconnect: false,
} as const;

for (const { name, scheme } of CLIENTS) {
  const urlOf = ({ port }: FakeAmqp) => `${scheme}://127.0.0.1:${port}//`;

  Deno.test(`${name}: headers are the same values though the application imported amqplib first`, async () => {
    const field = (type: string, ...bytes: number[]) =>
      Uint8Array.of(1, 97, type.charCodeAt(0), ...bytes);
    const tables = [
      field("Z", 1, 2), // a type that nobody knows
      field("L", 0, 0, 1, 0, 0, 0, 0, 0), // py-amqp's
      field("T", 0, 0, 0, 0, 0x65, 0x53, 0xf1, 0),
      field("l", 0x10, 0, 0, 0, 0, 0, 0, 1),
    ];
    using broker = new FakeAmqp(({ method }, peer) => {
      const consumer = peer.consumers[0];
      if (method !== "consuming" || consumer === undefined) return;
      tables.forEach((table, i) =>
        peer.deliver(consumer, BigInt(i + 1), table)
      );
    });
    await using connection = createConnection(urlOf(broker), OPTIONS);
    const seen: unknown[] = [];
    const consumer = connection.consumer(new Queue("q"), {
      onInvalid: () => void seen.push("unreadable"),
    });
    for await (const { headers } of consumer) {
      seen.push(headers.a);
      if (seen.length === tables.length) break;
    }
    assertEquals(seen, [
      "unreadable",
      2 ** 40,
      new Date(0x6553f100 * 1000),
      2n ** 60n + 1n,
    ]);
    assertEquals(broker.accepted, 1);
  });

  for (const end of ["is lost", "is closed"]) {
    Deno.test(`${name}: a connection that ${end} while it dials its second socket leaves none`, async () => {
      const dialled = Promise.withResolvers<void>();
      const peers: Peer[] = [];
      using broker = new FakeAmqp(({ method }, peer) => {
        if (method !== "10.40" || peers.push(peer) === 1) return false;
        dialled.resolve(); // and is not answered
        return true;
      });
      const connection = createConnection(urlOf(broker), {
        ...OPTIONS,
        operationTimeout: 60_000, // of which the second socket has a third
        onUnhandled: () => {},
      });
      const publishing = connection.send("q", 1).catch(() => {});
      const consuming = connection.consumer("q").run(() => {}).catch(() => {});
      await dialled.promise;
      if (end === "is lost") {
        peers[0]?.method(0, [10, 50], (writer) => {
          writer.short(320);
          writer.shortString("CONNECTION_FORCED");
          writer.short(0);
          writer.short(0);
        });
      } else await connection.close({ drainTimeout: 1000 });
      await Promise.all([publishing, consuming]);
      for (let tries = 0; broker.open > 0; tries++) {
        assert(tries < 1000, `${broker.open} connections are left`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await connection.close();
    });
  }

  for (const flags of [1, 3]) {
    // RabbitMQ sets `requeue` too, which means nothing here.
    Deno.test(`${name}: a nack of all that is outstanding is for each of them (flags ${flags})`, async () => {
      let published = 0;
      using broker = new FakeAmqp(({ channel, method }, peer) => {
        if (method !== "60.40" || ++published < 3) return;
        peer.method(channel, [60, 120], (writer) => {
          writer.longlong(0);
          writer.octet(flags);
        });
      });
      await using connection = createConnection(urlOf(broker), OPTIONS);
      const producer = connection.producer();
      await Promise.all([1, 2, 3].map((n) =>
        assertRejects(
          () => producer.publish(n, { routingKey: "q", mandatory: false }),
          PublishError,
          "refused",
        )
      ));
    });
  }

  Deno.test(`${name}: an answer for a message that was never sent confirms nothing, and holds up nobody`, async () => {
    for (const tag of [2 ** 26, 2 ** 40]) {
      using broker = new FakeAmqp(({ channel, method }, peer) => {
        if (method !== "60.40") return;
        peer.method(channel, [60, 80], (writer) => {
          writer.longlong(tag);
          writer.octet(0);
        });
      });
      await using connection = createConnection(urlOf(broker), {
        ...OPTIONS,
        operationTimeout: 5000,
      });
      const producer = connection.producer();
      const error = await producer.publish(1, {
        routingKey: "q",
        mandatory: false,
      }).then(() => undefined, (error) => error);
      assertEquals(error?.code, "connection-lost");
    }
  });

  Deno.test(`${name}: a delivery tag that jumps, or comes again, ends the connection, and holds up nobody`, async () => {
    for (const tag of [1n, 3n, 2n ** 26n, 2n ** 40n, 2n ** 63n]) {
      using broker = new FakeAmqp(({ method }, peer) => {
        const consumer = peer.consumers[0];
        if (method !== "consuming" || consumer === undefined) return;
        peer.deliver(consumer, 1n);
        peer.deliver(consumer, tag);
      });
      await using connection = createConnection(urlOf(broker), OPTIONS);
      let seen = 0;
      const error = await connection.consumer(new Queue("q"))
        .run(() => void seen++)
        .then(() => undefined, (error) => error);
      assertEquals([error?.code, seen < 2], ["connection-lost", true], error);
    }
  });
}

Deno.test("amqp, amqp_client: a frame that is larger than was agreed on is read", async () => {
  const table = { grown: "x".repeat(200_000) };
  let bytes = new Uint8Array();
  const writer = new FrameWriter((written) => bytes = written.slice());
  writer.method(0, [0, 0], () => writer.table(table));
  writer.flush();
  const fields = bytes.subarray(15, -1);
  assertEquals(decodeFields(fields), table);
  for (const { scheme } of CLIENTS) {
    using broker = new FakeAmqp(({ method }, peer) => {
      const consumer = peer.consumers[0];
      if (method !== "consuming" || consumer === undefined) return;
      peer.deliver(consumer, 1n, fields);
    });
    await using connection = createConnection(
      `${scheme}://127.0.0.1:${broker.port}//`,
      OPTIONS,
    );
    for await (const message of connection.consumer(new Queue("q"))) {
      assertEquals(message.headers, table);
      break;
    }
  }
});
