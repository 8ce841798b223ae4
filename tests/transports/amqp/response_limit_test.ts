import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Connection,
  createConnection,
  DecodeError,
  Queue,
} from "../../../mod.ts";
import { arrives } from "../../conformance/support.ts";
import { CLIENTS, urlFor } from "../../support/amqp.ts";
import { type Consumer, FakeAmqp, type Peer } from "../../support/fake_amqp.ts";

const MIB = 2 ** 20;
const OFFERED = 64 * MIB;

/** Waits for what ought to come. */
function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  return arrives(promise, what);
}

/** A frame's header, and what of its payload comes with it. */
function begin(
  type: number,
  channel: number,
  size: number,
  payload: readonly number[] = [],
): Uint8Array {
  const bytes = new Uint8Array(7 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint16(1, channel);
  view.setUint32(3, size);
  bytes.set(payload, 7);
  return bytes;
}

function frame(
  type: number,
  channel: number,
  payload: readonly number[],
): Uint8Array {
  return Uint8Array.of(...begin(type, channel, payload.length, payload), 206);
}

/** Says that a message comes, and how large its body will be. */
function announce(
  peer: Peer,
  { channel, tag }: Consumer,
  size: bigint,
  deliveryTag = 1,
): void {
  peer.method(channel, [60, 60], (writer) => {
    writer.shortString(tag);
    writer.long(0);
    writer.long(deliveryTag);
    writer.octet(0);
    writer.shortString("");
    writer.shortString("q");
  });
  const octets = Array.from(
    { length: 8 },
    (_, i) => Number((size >> BigInt(56 - 8 * i)) & 255n),
  );
  // The class, the weight, the size, and no properties but the content type.
  const type = [...new TextEncoder().encode("application/json")];
  peer.raw(
    frame(2, channel, [
      ...[0, 60, 0, 0],
      ...octets,
      ...[0x80, 0, type.length],
      ...type,
    ]),
  );
}

const PIECE = new Uint8Array(MIB / 4);
/** Whole frames of a body. */
function bodyFrames(channel: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size + 8).fill(32);
  bytes.set(begin(3, channel, size));
  bytes[size + 7] = 206;
  return bytes;
}

/** Answers of a server to a consumer, for which it is cut off. */
const ENDLESS: readonly (readonly [
  string,
  (peer: Peer, consumer: Consumer) => void,
])[] = [
  ["a body of 2^63 bytes", (peer, consumer) => {
    announce(peer, consumer, 2n ** 63n);
    peer.flood(bodyFrames(consumer.channel, 100_000), OFFERED);
  }],
  ["a body of 2^64 - 1 bytes", (peer, consumer) => {
    announce(peer, consumer, 2n ** 64n - 1n);
    peer.flood(bodyFrames(consumer.channel, 100_000), OFFERED);
  }],
  ["a body of 2^40 bytes", (peer, consumer) => {
    announce(peer, consumer, 2n ** 40n);
    peer.flood(bodyFrames(consumer.channel, 100_000), OFFERED);
  }],
  ["a frame of 4 GB", (peer, { channel }) => {
    peer.raw(begin(3, channel, 2 ** 32 - 1));
    peer.flood(PIECE, OFFERED);
  }],
  ["a table of 100 MB", (peer, { channel }) => {
    peer.raw(begin(2, channel, 100 * MIB));
    peer.flood(PIECE, OFFERED);
  }],
  ["a method of 100 MB", (peer, { channel }) => {
    peer.raw(begin(1, channel, 100 * MIB));
    peer.flood(PIECE, OFFERED);
  }],
];

function connect(server: FakeAmqp, name: string): Connection {
  const client = CLIENTS.find((each) => each.name === name);
  assert(client !== undefined);
  return createConnection(
    urlFor(client, `amqp://guest:guest@127.0.0.1:${server.port}`),
    { maxResponseSize: MIB, heartbeat: 0, reconnect: false },
  );
}

for (const { name } of CLIENTS) {
  for (const [what, say] of ENDLESS) {
    Deno.test(`${name}: cut off, ${what}`, async () => {
      using server = new FakeAmqp(({ method }, peer) => {
        const [consumer] = peer.consumers;
        if (method === "consuming" && consumer !== undefined) {
          say(peer, consumer);
        }
      });
      const connection = connect(server, name);
      try {
        const error = await soon(
          "the consumer ends",
          connection.consumer(new Queue("q")).run(() => {}).then(
            () => undefined,
            (each: unknown) => each,
          ),
        );
        assert(String(error).includes("was lost"), String(error));
        assert(server.flooded < OFFERED / 2, `${server.flooded} were taken`);
      } finally {
        await connection.close();
      }
    });
  }

  Deno.test(`${name}: cut off, a greeting of 100 MB`, async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    let sent = 0;
    const serving = (async () => {
      using socket = await listener.accept();
      try {
        await socket.read(new Uint8Array(8));
        await socket.write(begin(1, 0, 100 * MIB));
        while (sent < OFFERED) sent += await socket.write(PIECE);
      } catch {
        // It was cut off.
      }
    })();
    const { port } = listener.addr;
    const connection = connect({ port } as FakeAmqp, name);
    const error = await soon(
      "connect() rejects",
      connection.connect().then(() => undefined, (each: unknown) => each),
    );
    assert(error instanceof Error);
    await connection.close();
    listener.close();
    await serving;
    assert(sent < OFFERED / 2, `${sent} were taken`);
  });

  Deno.test(`${name}: a body larger than maxResponseSize is left out, and the next message comes`, async () => {
    const size = 3 * MIB;
    using server = new FakeAmqp(({ method }, peer) => {
      const [consumer] = peer.consumers;
      if (method !== "consuming" || consumer === undefined) return;
      announce(peer, consumer, BigInt(size));
      for (let at = 0; at < size; at += 2 ** 16) {
        peer.raw(bodyFrames(consumer.channel, 2 ** 16));
      }
      peer.deliver(consumer, 2n);
    });
    const connection = connect(server, name);
    try {
      const seen = Promise.withResolvers<unknown[]>();
      const payloads: unknown[] = [];
      const reading = (async () => {
        for await (const message of connection.consumer(new Queue("q"))) {
          if (payloads.length === 0) {
            const error = assertThrows(() => message.payload, DecodeError);
            assert(String(error.cause).includes("maxResponseSize"));
            assertThrows(() => message.body, DecodeError, "maxResponseSize");
            payloads.push("left out");
          } else {
            payloads.push(message.payload);
            seen.resolve(payloads);
            break;
          }
        }
      })();
      await soon("both come", seen.promise);
      await reading;
      assertEquals(payloads, ["left out", 1]);
      assertEquals(server.accepted, 1);
    } finally {
      await connection.close();
    }
  });

  Deno.test(`${name}: empty parts of a body are none`, async () => {
    using server = new FakeAmqp(({ method }, peer) => {
      const [consumer] = peer.consumers;
      if (method !== "consuming" || consumer === undefined) return;
      announce(peer, consumer, 1n);
      const empty = frame(3, consumer.channel, []);
      const many = new Uint8Array(empty.length * 10_000);
      for (let at = 0; at < many.length; at += empty.length) {
        many.set(empty, at);
      }
      for (let i = 0; i < 20; i++) peer.raw(many);
      peer.raw(frame(3, consumer.channel, [0x37]));
    });
    const connection = connect(server, name);
    try {
      const seen = Promise.withResolvers<unknown>();
      const running = connection.consumer(new Queue("q")).run((message) =>
        seen.resolve(message.payload)
      );
      assertEquals(await soon("it comes", seen.promise), 7);
      await connection.close();
      await running.catch(() => {});
    } finally {
      await connection.close();
    }
  });
}
