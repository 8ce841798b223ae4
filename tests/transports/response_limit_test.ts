import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, MessagingError, Queue } from "../../mod.ts";
import { Lines } from "../../transports/couchdb/body.ts";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import { take } from "../conformance/stage.ts";
import { unique } from "../conformance/support.ts";

const MIB = 2 ** 20;
const OFFERED = 128 * MIB;
const HTTP = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
const NATS =
  'INFO {"version":"2.15.1","max_payload":1048576,"headers":true}\r\nPONG\r\n';

/** A server, what it says first, and what it repeats then for as long as somebody listens. */
const ENDLESS: readonly (readonly [string, string, string, string])[] = [
  ["couchdb, a body", "couchdb://u:p@HOST/db", HTTP, " "],
  ["sqs, a body", "sqs://key:secret@HOST", HTTP, " "],
  ["redis, a text", "redis://HOST/0", "$2000000000\r\n", " "],
  ["redis, a line", "redis://HOST/0", "+", " "],
  ["redis, a list", "redis://HOST/0", "*1000000000\r\n", ":1\r\n"],
  ["redis, lists in lists", "redis://HOST/0", "*1\r\n", "*1\r\n"],
  ["sentinel, a text", "sentinel://HOST?master_name=m", "$2000000000\r\n", " "],
  ["beanstalk, a job", "beanstalk://HOST", "OK 2000000000\r\n", " "],
  ["beanstalk, a line", "beanstalk://HOST", "USING ", " "],
  ["nats, the first line", "nats://HOST", "INFO ", " "],
  ["nats, a line", "nats://HOST", `${NATS}MSG `, "a"],
  ["nats, a message", "nats://HOST", `${NATS}MSG a 1 60000000\r\n`, " "],
  ["nats, nonsense", "nats://HOST", `${NATS}nonsense`, " "],
  ["postgres, a row", "postgres://u:p@HOST/db", "D\x7f\x7f\x7f\x7f", " "],
  ["postgres, nonsense", "postgres://u:p@HOST/db", "", "a"],
];

const REASON =
  /maxResponseSize|does not speak|Maximum call stack|too much recursion/;

for (const [name, url, head, part] of ENDLESS) {
  Deno.test(`an answer without end is cut off: ${name}`, async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const piece = new TextEncoder().encode(part.repeat(MIB / 8 / part.length));
    let sent = 0;
    const serve = async (socket: Deno.Conn) => {
      try {
        // A server of NATS speaks first.
        if (!url.startsWith("nats")) await socket.read(new Uint8Array(4096));
        await socket.write(new TextEncoder().encode(head));
        for (let total = 0; total < OFFERED;) {
          total += await socket.write(piece);
          sent = Math.max(sent, total);
        }
      } catch {
        // It was cut off.
      }
      socket.close();
    };
    const serving = (async () => {
      const all: Promise<void>[] = [];
      for await (const socket of listener) all.push(serve(socket));
      await Promise.all(all);
    })();
    const connection = createConnection(
      url.replace("HOST", `127.0.0.1:${listener.addr.port}`),
      {
        maxResponseSize: MIB,
        connectTimeout: 60_000,
        operationTimeout: 60_000,
        heartbeat: 0,
        reconnect: false,
      },
    );
    try {
      const error = await connection.declare(new Queue("q")).then(
        () => undefined,
        (each) => each,
      );
      assert(error instanceof MessagingError, String(error));
      assert(REASON.test(error.message), error.message);
      // Bytes that the system holds for both sides are not the client's.
      assert(sent < OFFERED / 2, `${sent} bytes were taken`);
    } finally {
      await connection.close();
      listener.close();
      await serving;
    }
  });
}

Deno.test("couchdb: a compressed answer counts with its size behind that", async () => {
  const zeros = new Uint8Array(MIB);
  const compressed = new Blob(Array(64).fill(zeros)).stream()
    .pipeThrough(new CompressionStream("gzip"));
  const bomb = await new Response(compressed).arrayBuffer();
  assert(bomb.byteLength < MIB);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () =>
      new Response(bomb, {
        headers: {
          "content-encoding": "gzip",
          "content-type": "application/json",
        },
      }),
  );
  const connection = createConnection(
    `couchdb://u:p@127.0.0.1:${server.addr.port}/db`,
    { maxResponseSize: 8 * MIB, connectTimeout: 60_000, reconnect: false },
  );
  const error = await connection.connect().catch((each) => each);
  assert(String(error).includes("maxResponseSize"), String(error));
  await connection.close();
  await server.shutdown();
});

Deno.test("a line of the feed is joined once, and has a limit", () => {
  const lines: string[] = [];
  const cut = new Lines(10, (line) => lines.push(line));
  for (const piece of ["a", "b\n", "\nc\nd", "", "e\n", "0123456789"]) {
    cut.push(piece);
  }
  assertEquals(lines, ["ab", "", "c", "de"]);
  assertThrows(() => cut.push("x"), ResponseTooLargeError);
});

for (const name of ["COUCHDB", "REDIS"]) {
  const url = Deno.env.get(`DASHI_TEST_${name}_URL`);
  const reason = Deno.env.get(`DASHI_TEST_${name}_REASON`) ??
    "there is no broker";
  Deno.test({
    name:
      `${name.toLowerCase()}: many messages that are too much together come${
        url === undefined ? ` (${reason})` : ""
      }`,
    ignore: url === undefined,
    fn: async () => {
      const queue = new Queue(unique("queue"));
      await using connection = createConnection(url ?? "", {
        // Each has half a megabyte, and a third more as it is stored: together they are more.
        maxResponseSize: 8 * MIB,
      });
      const producer = connection.producer({ declare: [queue] });
      const bodies = Array.from(
        { length: 20 },
        (_, i) => `${i}`.repeat(500_000 / `${i}`.length),
      );
      for (const body of bodies) {
        await producer.publish(body, { routingKey: queue.name });
      }
      const consumer = connection.consumer<string>(queue, { prefetch: 20 });
      const messages = await take(consumer, 20);
      assertEquals(messages.map((each) => each.payload), bodies);
      for (const message of messages) await message.ack();
      const channel = await connection.channel();
      await channel.deleteQueue(queue.name);
    },
  });
}
