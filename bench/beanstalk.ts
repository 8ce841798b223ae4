/** Put, and reserve with delete, on beanstalkd, beside a raw client that pipelines. */

import { createConnection, Queue } from "@dashi/mq";
import { consumers } from "./consume.ts";
import { compare, rate } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

/** How many commands the raw client sends at once. */
const BATCH = 100;
const RESERVE = "reserve-with-timeout 0\r\n".repeat(BATCH);

/** Compares both at a URL. */
export async function benchBeanstalk(url: string): Promise<void> {
  const name = `dashi-bench-${crypto.randomUUID()}`;
  const { hostname, port } = new URL(url);
  const raw = await RawClient.open(hostname, Number(port || 11300));
  await raw.ask(`use ${name}\r\nwatch ${name}\r\nignore default\r\n`, 3);
  await using connection = createConnection(url);
  await connection.connect();
  const producer = connection.producer({ declare: [new Queue(name)] });
  const purge = async () => {
    await (await connection.channel()).purgeQueue(name);
  };
  /** The size of 1 KiB as we store it: an envelope, its body in base64. */
  let stored = BODY.length;

  const rawPut = async (count: number) => {
    const put = `put 9 0 120 ${stored}\r\n${"a".repeat(stored)}\r\n`.repeat(
      BATCH,
    );
    const began = performance.now();
    for (let i = 0; i < count; i += BATCH) await raw.ask(put, BATCH);
    return rate(count, began);
  };
  const ourPut = (count: number) =>
    publishRate(producer, count, { routingKey: name, headers: { n: "x" } });
  const rawTake = async (count: number) => {
    const began = performance.now();
    for (let i = 0; i < count; i += BATCH) {
      const jobs = await raw.ask(RESERVE, BATCH);
      await raw.ask(jobs.map((job) => `delete ${job}\r\n`).join(""), BATCH);
    }
    return rate(count, began);
  };
  const emptied = (run: (count: number) => Promise<number>) =>
  async (
    count: number,
  ) => {
    await purge();
    return await run(count);
  };
  const filled = (
    fill: (count: number) => Promise<number>,
    run: (count: number) => Promise<number>,
  ) =>
    emptied(async (count) => {
      await fill(count);
      return await run(count);
    });
  const options = { count: 20_000, rounds: 7 };
  await compare("beanstalkd: put 1 KiB", [
    { name: "raw, 1 KiB", run: emptied(rawPut) },
    {
      name: "raw, as large as ours",
      run: emptied(async (count) => {
        stored = 1758; // as peeked
        const result = await rawPut(count);
        stored = BODY.length;
        return result;
      }),
    },
    { name: "dashi", run: emptied(ourPut) },
  ], options);
  await compare("beanstalkd: reserve and delete 1 KiB", [
    { name: "raw, 1 KiB", run: filled(rawPut, rawTake) },
    { name: "raw, what dashi put", run: filled(ourPut, rawTake) },
    ...consumers(connection, name).map(({ name, run }) => ({
      name,
      run: filled(ourPut, run),
    })),
  ], options);
  await (await connection.channel()).deleteQueue(name);
  raw.close();
}

/** The least that can pipeline. */
class RawClient {
  readonly #socket: Deno.Conn;
  #left = new Uint8Array(0);

  private constructor(socket: Deno.Conn) {
    this.#socket = socket;
  }

  static async open(hostname: string, port: number): Promise<RawClient> {
    const socket = await Deno.connect({ hostname, port });
    socket.setNoDelay(true);
    return new RawClient(socket);
  }

  /** Sends commands, and returns the second word of each reply. */
  async ask(commands: string, count: number): Promise<string[]> {
    const sending = this.#send(new TextEncoder().encode(commands));
    const decoder = new TextDecoder();
    const words: string[] = [];
    const buffer = new Uint8Array(262_144);
    for (;;) {
      let at = 0;
      while (words.length < count) {
        const end = this.#left.indexOf(10, at);
        if (end < 0) break;
        const line = decoder.decode(this.#left.subarray(at, end - 1));
        const [word, second = "", size = 0] = line.split(" ");
        const next = end + 1 + (word === "RESERVED" ? Number(size) + 2 : 0);
        if (next > this.#left.length) break;
        words.push(second);
        at = next;
      }
      this.#left = this.#left.slice(at);
      if (words.length === count) break;
      const read = await this.#socket.read(buffer) ?? 0;
      const joined = new Uint8Array(this.#left.length + read);
      joined.set(this.#left);
      joined.set(buffer.subarray(0, read), this.#left.length);
      this.#left = joined;
    }
    await sending;
    return words;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.#socket.write(bytes.subarray(sent));
    }
  }

  close(): void {
    this.#socket.close();
  }
}
