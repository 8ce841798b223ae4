/**
 * Order per key, judged: processes with handlers that fail by chance are killed and started
 * again, and a referee who is asked before each call sees whether a key has two at once, or
 * a message begins before one that came before it.
 */

import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { apart } from "../support/apart.ts";
import { ORDERED_RUN, workOn } from "../support/ordered_work.ts";
import { Referee, type Word, type Worker } from "../support/referee.ts";
import { ALL, LATER, onEach } from "../support/targets.ts";
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

/** Where each message is a row that is written three times, in transactions. */
const SQL: Size = { keys: 200, each: 50, kills: 10 };

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
  postgres: { whole: SQL },
  // Its stand-in looks through all documents for each command.
  mongodb: {
    whole: { keys: 100, each: 20, kills: 10 },
    options: { visibilityTimeout: 5000 },
  },
  sqs: { whole: WHOLE },
};

onEach(
  "in four processes that are killed no key has two handlers at once, and its messages begin in order",
  async (given, { name }) => {
    // Leases are longer than those of others: a process that stands still for a moment keeps its keys.
    const url = apart(given, 15).replace(/(visibility_timeout)=\d+/, "$1=15");
    const { whole, options: transportOptions = {} } = ROWS[name] ??
      { whole: SMALL };
    const options = { transport: name, transportOptions };
    await judge(ALL ? whole : SMALL, inProcesses(url, options));
  },
  undefined,
  undefined,
  ({ name }) =>
    name in ROWS
      ? undefined
      : "its broker hands out nothing in the order of keys",
);

Deno.test({
  name:
    `sqlite: in four processes that are killed no key has two handlers at once, and its messages begin in order${
      ALL ? "" : ` (${LATER})`
    }`,
  ignore: !ALL,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "dashi-ordered-" });
    try {
      const place = inProcesses(`sqlite:${folder}/ordered.db`, {
        transport: "sqlite",
        transportOptions: { visibilityTimeout: 15_000 },
      });
      await judge(SQL, place);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

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

/** How many messages another key has before one that has few. */
const CROWD = ALL ? 100_000 : 2000;

/** The brokers whose keys take turns, and how large the crowd is where it is another. */
const FAIR: Readonly<Record<string, number>> = {
  redis: CROWD,
  postgres: Math.min(CROWD, 10_000),
  // Its stand-in looks through all documents for each command.
  mongodb: 2000,
};

onEach(
  "a key with many messages delays another by two rounds at most",
  async (given, { name: transport }) => {
    const connection = createConnection(apart(given, 15), { transport });
    await judgeTurns(connection, FAIR[transport] ?? CROWD);
  },
  undefined,
  undefined,
  ({ name }) => name in FAIR ? undefined : "its broker lets no keys take turns",
);

for (
  const [url, crowd] of [
    ["memory://turns", CROWD],
    ["sqlite::memory:", Math.min(CROWD, 10_000)],
  ] as const
) {
  Deno.test(`${url}: a key with many messages delays another by two rounds at most`, () =>
    judgeTurns(createConnection(url), crowd));
}

/** Of two keys, one of which has a crowd of messages before, the other has every second turn. */
async function judgeTurns(
  connection: Connection,
  crowd: number,
): Promise<void> {
  const queue = new Queue<number>(`turns-${crypto.randomUUID()}`, {
    ordered: true,
  });
  const producer = connection.producer({ queue });
  const few = [...Array(10).keys()];
  try {
    const numbers = Array(crowd).keys();
    await producer.publishAll(numbers, { each: { key: "crowd" } });
    await producer.publishAll(few, { each: { key: "few" } });
    const seen: string[] = [];
    const consumer = connection.consumer(queue, { prefetch: 1 });
    for await (const message of consumer) {
      seen.push(message.key ?? "");
      await message.ack();
      if (seen.length === 4 * few.length) break;
    }
    const places = seen.flatMap((key, at) => key === "few" ? [at] : []);
    assertEquals(places.length, few.length, seen.join());
    for (const [nth, place] of places.entries()) {
      assert(place < 2 * (nth + 2), seen.join());
    }
  } finally {
    await connection.delete(queue.name);
    await connection.close();
  }
}

/** Workers that are processes. */
function inProcesses(
  url: string,
  options: {
    readonly transport: string;
    readonly transportOptions: Readonly<Record<string, unknown>>;
  },
): Place {
  return {
    // On a machine that is busy, what is published last waits for a long time.
    connect: () =>
      createConnection(url, { ...options, operationTimeout: 120_000 }),
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
        stderr: "inherit",
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
  };
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
