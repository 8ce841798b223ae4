/**
 * Order per key, judged: processes with handlers that fail by chance are killed and started
 * again, and a referee who is asked before each call sees whether a key has two at once, or
 * a message begins before one that came before it.
 */

import { assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { apart } from "../support/apart.ts";
import { ORDERED_RUN, workOn } from "../support/ordered_work.ts";
import { Referee, type Word, type Worker } from "../support/referee.ts";
import { ALL, onEach } from "../support/targets.ts";
import type { OrderedWork } from "./ordered_child.ts";

/** How much is done. */
interface Size {
  readonly keys: number;
  /** Messages of each key. */
  readonly each: number;
  readonly kills: number;
}

const SMALL: Size = { keys: 40, each: 15, kills: 2 };
const WHOLE: Size = { keys: 1000, each: 100, kills: 20 };

/** How many workers there are at once. */
const WORKERS = 4;

/** A target, the size of its run under `deno task faults`, and its options: what a killed process held comes back soon. */
const ROWS: Readonly<
  Record<
    string,
    { readonly whole: Size; readonly options?: Record<string, unknown> }
  >
> = {
  amqp: { whole: WHOLE },
  "amqp-client": { whole: WHOLE },
  redis: { whole: WHOLE, options: { visibilityTimeout: 5000 } },
  // Its stand-in looks through all documents for each command.
  mongodb: {
    whole: { keys: 100, each: 20, kills: 10 },
    options: { visibilityTimeout: 5000 },
  },
  // Its stand-in hands out a message with each request: it would take an hour.
  sqs: {
    whole: { keys: 100, each: 20, kills: 5 },
    options: { visibilityTimeout: 5000 },
  },
};

onEach(
  "in four processes that are killed no key has two handlers at once, and its messages begin in order",
  async (given, { name }) => {
    // Its leases are longer than those of others.
    const url = apart(given, 15);
    const { whole, options: transportOptions = {} } = ROWS[name] ??
      { whole: SMALL };
    const options = { transport: name, transportOptions };
    await judge(ALL ? whole : SMALL, {
      connect: () => createConnection(url, options),
      async start(queue, referee) {
        const worker = { isDead: false };
        const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
        const work: OrderedWork = {
          url,
          queue: queue.name,
          port: listener.addr.port,
          ...options,
        };
        const child = new Deno.Command(Deno.execPath(), {
          args: [
            "run",
            "-A",
            "--no-check",
            new URL("./ordered_child.ts", import.meta.url).pathname,
            JSON.stringify(work),
          ],
          stdout: "null",
          stderr: "null",
        }).spawn();
        const socket = await listener.accept();
        listener.close();
        const heard = hear(socket, worker, referee);
        return {
          worker,
          async kill() {
            child.kill("SIGKILL");
            referee.bury(worker);
            await child.status;
            await heard;
          },
        };
      },
    });
  },
  undefined,
  undefined,
  ({ name }) =>
    name in ROWS
      ? undefined
      : "its broker hands out nothing in the order of keys",
);

Deno.test("memory: on four connections that are closed no key has two handlers at once, and its messages begin in order", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  const connect = () => createConnection(url, { onUnhandled: () => {} });
  await judge(ALL ? WHOLE : { ...SMALL, keys: 200 }, {
    connect,
    start(queue, referee) {
      const worker = { isDead: false };
      const connection = connect();
      void connection.consumer<[number, number]>(queue).run(
        ({ payload }) =>
          workOn(payload, (word) => {
            referee.hear(worker, word);
            // A handler of who is dead acks nothing any more.
            if (worker.isDead) return new Promise(() => {});
          }),
        ORDERED_RUN,
      );
      return Promise.resolve({
        worker,
        async kill() {
          referee.bury(worker);
          await connection.close({ drainTimeout: 1 });
        },
      });
    },
  });
});

/** A worker that can be killed. */
interface Living {
  readonly worker: Worker;
  kill(): Promise<void>;
}

/** How workers are started, and the connection of who publishes. */
interface Place {
  connect(): Connection;
  start(queue: Queue, referee: Referee): Promise<Living>;
}

async function judge(
  { keys, each, kills }: Size,
  place: Place,
): Promise<void> {
  const referee = new Referee(keys, each);
  const all = keys * each;
  await using connection = place.connect();
  const queue = new Queue(`ordered-${crypto.randomUUID()}.fifo`, {
    ordered: true,
  });
  const living: Living[] = [];
  try {
    const { published } = await connection.producer({ queue }).publishAll(
      messages(keys, each),
      { each: (_, index) => ({ key: `key ${index % keys}` }) },
    );
    assertEquals(published, all);
    for (let i = 0; i < WORKERS; i++) {
      living.push(await place.start(queue, referee));
    }
    for (let i = 1; i <= kills; i++) {
      await atLeast(referee, Math.floor(all * i / (kills + 1)));
      await living.shift()?.kill();
      living.push(await place.start(queue, referee));
    }
    await atLeast(referee, all);
  } finally {
    for (const each of living) await each.kill();
    await connection.delete(queue.name);
  }
  assertEquals(referee.faults.slice(0, 10), []);
}

function* messages(keys: number, each: number): Iterable<[number, number]> {
  for (let n = 0; n < each; n++) {
    for (let key = 0; key < keys; key++) yield [key, n];
  }
}

/** Waits until so many messages are done, as long as it goes on. */
async function atLeast(referee: Referee, count: number): Promise<void> {
  while (referee.done < count && referee.faults.length === 0) {
    const { calls } = referee;
    await until(
      () => referee.calls > calls || referee.done >= count,
      () => `another call, after ${calls}, with ${referee.done} done,`,
    );
  }
}

/** Hears a process, and answers each word with a byte. */
async function hear(
  socket: Deno.TcpConn,
  worker: Worker,
  referee: Referee,
): Promise<void> {
  let rest = "";
  const writer = socket.writable.getWriter();
  try {
    for await (
      const text of socket.readable.pipeThrough(new TextDecoderStream())
    ) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const word: Word = JSON.parse(line);
        referee.hear(worker, word);
      }
      await writer.write(new Uint8Array(lines.length));
    }
  } catch (error) {
    if (!worker.isDead) throw error; // a process that is killed resets its socket
  } finally {
    writer.releaseLock();
    try {
      socket.close();
    } catch {
      // It is closed with its streams.
    }
  }
}
