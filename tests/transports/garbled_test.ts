/** Answers that a fuzz has found: each ended the process, or left a call without an end. */

import { assert } from "@std/assert";
import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { arrives } from "../conformance/support.ts";
import { CLIENTS, urlFor } from "../support/amqp.ts";
import { FakeAmqp } from "../support/fake_amqp.ts";

const IMPATIENT = {
  connectTimeout: 2000,
  operationTimeout: 2000,
  heartbeat: 0,
  reconnect: false,
} as const;

Deno.test("redis: a call whose answer the client dies of ends with its connection", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving: Promise<void>[] = [];
  const serve = async (socket: Deno.Conn) => {
    const bytes = new Uint8Array(4096);
    try {
      for (;;) {
        const count = await socket.read(bytes);
        if (count === null) break;
        const said = new TextDecoder().decode(bytes.subarray(0, count));
        const answer = /subscribe/i.test(said)
          // Of a channel it says nothing.
          ? "*1\r\n$9\r\nsubscribe\r\n"
          : /info/i.test(said)
          ? "$0\r\n\r\n"
          : "+OK\r\n";
        await socket.write(new TextEncoder().encode(answer));
      }
    } catch {
      // It was cut off.
    }
    socket.close();
  };
  const accepting = (async () => {
    for await (const socket of listener) serving.push(serve(socket));
  })().catch(() => {});
  const connection = createConnection(
    `redis://127.0.0.1:${listener.addr.port}/0`,
    IMPATIENT,
  );
  const error = await arrives(
    connection.connect().then(() => undefined, (each) => each),
    "an end of connect()",
  );
  assert(error instanceof MessagingError, String(error));
  await connection.close();
  listener.close();
  await accepting;
  await Promise.all(serving);
});

for (const client of CLIENTS) {
  Deno.test(`${client.name}: bytes behind the handshake that are no frame lose the connection`, async () => {
    using server = new FakeAmqp(({ method }, peer) => {
      if (method !== "10.40") return;
      peer.method(0, [10, 41], (writer) => writer.shortString(""));
      // In the same breath, so that it is read with the answer.
      peer.raw(new TextEncoder().encode("PONG and other words"));
      return true;
    });
    const connection = createConnection(
      urlFor(client, `amqp://guest:guest@127.0.0.1:${server.port}`),
      IMPATIENT,
    );
    const error = await arrives(
      connection.declare(new Queue("q")).then(() => undefined, (each) => each),
      "an end of declare()",
    );
    assert(error instanceof MessagingError, String(error));
    await connection.close();
  });

  Deno.test(`${client.name}: a close in the breath that opens a connection is heard of, and the next one serves`, async () => {
    let count = 0;
    using server = new FakeAmqp(({ method }, peer) => {
      if (method !== "10.40" || ++count > 1) return;
      // One piece: connection.open-ok, and a frame that ends otherwise than frames do.
      peer.raw(Uint8Array.of(
        ...[1, 0, 0, 0, 0, 0, 5, 0, 10, 0, 41, 0, 206],
        ...[1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 50, 0],
      ));
      return true;
    });
    const connection = createConnection(
      urlFor(client, `amqp://guest:guest@127.0.0.1:${server.port}`),
      {
        operationTimeout: 60_000,
        heartbeat: 0,
        reconnect: { initialDelay: 1, maxDelay: 1 },
      },
    );
    await arrives(connection.declare(new Queue("q")), "declare()");
    assert(count > 1);
    await connection.close();
  });

  Deno.test(`${client.name}: on a channel that the client has closed by itself a publish fails in time`, async () => {
    using server = new FakeAmqp(({ method, channel }, peer) => {
      if (method === "20.40") return true; // its closing is never answered
      if (method !== "60.40") return;
      // A body of nothing.
      peer.raw(Uint8Array.of(3, 0, channel, 0, 0, 0, 1, 65, 206));
      return true;
    });
    const connection = createConnection(
      urlFor(client, `amqp://guest:guest@127.0.0.1:${server.port}`),
      IMPATIENT,
    );
    const producer = connection.producer();
    for (let i = 0; i < 3; i++) {
      const error = await arrives(
        producer.publish(i, { routingKey: "q", timeout: 1000 })
          .then(() => undefined, (each) => each),
        "an end of publish()",
      );
      assert(error instanceof MessagingError, String(error));
    }
    await connection.close({ drainTimeout: 1000 });
  });
}
