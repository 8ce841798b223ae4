/** The size of a queue with a limit of length is kept, not counted: on PostgreSQL and SQLite. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { nativeClient as postgresClient } from "@dashi/mq/postgres";
import { nativeClient as sqliteClient } from "@dashi/mq/sqlite";
import {
  addUpSizes,
  forgetSize,
  keepSize,
  noteSize,
  sizeOf,
  writeSizes,
} from "../../../transports/sql/sizes.ts";
import { openMemory } from "../../support/sqlite_memory.ts";
import { arrives, unique, until } from "../../conformance/support.ts";
import { test as postgres, withSchema } from "../../support/postgres_client.ts";

type Rows = readonly Readonly<Record<string, unknown>>[];

/** A database of the tests, and how its tables are read. */
interface Place {
  readonly url: string;
  rows(connection: Connection, sql: string): Promise<Rows>;
}

function onBoth(name: string, run: (place: Place) => Promise<void>): void {
  Deno.test(`sqlite: ${name}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "dashi-sizes-" });
    try {
      await run({
        url: `sqlite:${folder}/sizes.db`,
        async rows(connection, sql) {
          const native = await connection.native(sqliteClient);
          return native.prepare(sql.replaceAll("dashi.", "dashi_"))
            .all() as Rows;
        },
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
  postgres(name, (url) =>
    run({
      url,
      async rows(connection, sql) {
        const native = await connection.native(postgresClient);
        return (await native.query(sql)).rows;
      },
    }));
}

/** What is written of a queue's size, and what is there. */
async function sizesOf(
  { rows }: Place,
  connection: Connection,
  queue: string,
): Promise<{ readonly kept: number[]; readonly there: number[] }> {
  const id = `(SELECT id FROM dashi.queues WHERE name = '${queue}')`;
  // By one statement: what has expired goes meanwhile.
  const [kept, there] = await rows(
    connection,
    `SELECT 1 AS part, sum(messages) AS messages, sum(bytes) AS bytes,
      count(messages) - count(*) AS unknown FROM dashi.sizes
      WHERE queue = ${id}
    UNION ALL SELECT 2, count(*), coalesce(sum(size), 0),
      0 FROM dashi.places WHERE state = 0 AND queue = ${id}
    ORDER BY part`,
  );
  const numbers = (row: Rows[number] | undefined) =>
    [row?.messages, row?.bytes, row?.unknown].map(Number);
  return { kept: numbers(kept), there: numbers(there) };
}

async function takeAll(connection: Connection, queue: Queue): Promise<void> {
  const simple = connection.simpleQueue(queue);
  for (;;) {
    const message = await simple.getNoWait();
    if (message === undefined) return;
    await message.ack();
  }
}

for (
  const [kind, more] of [
    ["with priorities", { maxPriority: 5 }],
    ["ordered", { ordered: true, overflow: "reject-publish" }],
    ["with dead letters", { deadLetter: "dead" }],
  ] as const
) {
  onBoth(
    `whatever is done to a queue ${kind}, its size is what is there`,
    async (place) => {
      await using connection = createConnection(place.url);
      const queue = new Queue(unique("sized"), {
        ...more,
        ...("deadLetter" in more ? { deadLetter: unique("dead") } : {}),
        maxLength: 12,
        arguments: { "x-max-length-bytes": 5000 },
      });
      const check = async (done: string) => {
        const { kept, there } = await sizesOf(place, connection, queue.name);
        assertEquals(kept, there, done);
      };
      const send = (payload: string, options = {}) =>
        connection.send(queue, payload, {
          key: `${payload.length % 3}`,
          ...options,
        })
          .catch((error) => assert(/full/.test(error.message), error.message));
      await connection.declare(queue);
      for (let i = 0; i < 30; i++) await send("x".repeat(i));
      await check("published");
      await Promise.all(
        Array.from({ length: 30 }, (_, i) => send("y".repeat(200 + i))),
      );
      await check("published at once");
      {
        await using other = createConnection(place.url);
        const simple = other.simpleQueue(queue);
        const held = [];
        for (let i = 0; i < 3; i++) held.push(await simple.get());
        await check("held");
        await held[0]?.ack();
        await held[1]?.requeue();
        await check("acked and requeued");
      }
      await check("given back by who closes");
      await takeAll(connection, queue);
      await check("taken");
      for (let i = 0; i < 4; i++) await send("later", { delay: 20 });
      for (let i = 0; i < 4; i++) await send("brief", { expiration: 20 });
      await send("stays");
      const consumer = connection.consumer<string>(queue);
      const running = consumer.run(({ payload }) => {
        if (payload === "later") void consumer.cancel();
      });
      await arrives(running, "what was delayed");
      await check("delayed and expired");
      await takeAll(connection, queue);
      for (let i = 0; i < 5; i++) await send("to purge");
      await connection.queue(queue.name).purge();
      await send("after");
      await check("purged");
      await connection.delete(queue);
      const id = `(SELECT id FROM dashi.queues WHERE name = '${queue.name}')`;
      assertEquals(
        await place.rows(
          connection,
          `SELECT id FROM dashi.sizes WHERE queue = ${id}`,
        ),
        [],
      );
    },
  );
}

onBoth(
  "what has expired takes no room, and goes as what it is",
  async ({ url }) => {
    await using connection = createConnection(url);
    const dead = new Queue(unique("dead"));
    const queue = new Queue(unique("brief"), {
      maxLength: 2,
      overflow: "reject-publish",
      deadLetter: dead,
    });
    await connection.send(queue, "stays");
    await connection.send(queue, "goes", { expiration: 1 });
    await until(
      async () => (await connection.queueStatus(queue)).messageCount === 1,
      "the end of the message's time",
    );
    await connection.send(queue, "has room");
    const gone = await connection.simpleQueue(dead).get();
    const deaths = gone.headers["x-death"] as readonly { reason: string }[];
    assertEquals([gone.payload, deaths[0]?.reason], ["goes", "expired"]);
    await gone.ack();
    for (const each of [queue, dead]) await connection.delete(each);
  },
);

async function fill(connection: Connection, queue: Queue, count: number) {
  for (let i = 0; i < count; i += 500) {
    await Promise.all(
      Array.from(
        { length: Math.min(500, count - i) },
        () => connection.send(queue, "x"),
      ),
    );
  }
}

const DEPTHS = [20, 1000] as const;

for (const overflow of ["drop-head", "reject-publish"] as const) {
  postgres(
    `a publish to a queue that is full reads as much, however long it is (${overflow})`,
    (server) =>
      withSchema(server, async (url, schema) => {
        await using connection = createConnection(url);
        const native = await connection.native(postgresClient);
        const reads = async () => {
          const { rows: [row] } = await native.query(
            `SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
              WHERE schemaname = $1) +
            (SELECT sum(seq_tup_read) FROM pg_stat_user_tables
              WHERE schemaname = $1) AS rows`,
            [schema],
          );
          return Number(row?.rows);
        };
        // A session that ends has told what it read.
        const readOf = async (work: (own: Connection) => Promise<void>) => {
          const name = unique("sender");
          const before = await reads();
          const own = createConnection(url, { name });
          await work(own);
          await own.close();
          await until(async () => {
            const { rows } = await native.query(
              "SELECT FROM pg_stat_activity WHERE application_name = $1",
              [name],
            );
            return rows.length === 0;
          }, "the end of its sessions");
          return await reads() - before;
        };
        const read: number[] = [];
        for (const maxLength of DEPTHS) {
          const queue = new Queue(unique("full"), { maxLength, overflow });
          await readOf(async (own) => {
            await own.declare(queue);
            await fill(own, queue, maxLength);
          });
          const readBy = (times: number) =>
            readOf(async (own) => {
              for (let i = 0; i < times; i++) {
                await own.send(queue, "more").catch((error) =>
                  assert(/full/.test(error.message), error.message)
                );
              }
            });
          // The first one of a connection counts.
          read.push(-await readBy(1) + await readBy(11));
        }
        const [few = 0, many = 0] = read;
        assert(few > 10 && many < few + DEPTHS[1] / 10, `${few}, ${many} rows`);
      }),
  );

  Deno.test(`sqlite: a publish to a queue that is full counts nothing that lies in it (${overflow})`, async () => {
    await using connection = createConnection("sqlite::memory:");
    const native = await connection.native(sqliteClient);
    const said: string[] = [];
    const prepare = native.prepare.bind(native);
    const listening = (sql: string) => {
      const statement = prepare(sql);
      const heard = (verb: "all" | "run") => {
        const call = statement[verb].bind(statement);
        return (...values: Parameters<typeof call>) => {
          said.push(sql);
          return call(...values);
        };
      };
      return { all: heard("all"), run: heard("run") };
    };
    Object.assign(native, { prepare: listening });
    const [maxLength] = DEPTHS;
    const queue = new Queue(unique("full"), { maxLength, overflow });
    await connection.declare(queue);
    await fill(connection, queue, maxLength);
    const counts = () =>
      said.filter((sql) => /(count|sum)\(.*FROM dashi_places/s.test(sql));
    assert(counts().length > 0, "the first one counts");
    said.length = 0;
    for (let i = 0; i < 10; i++) {
      await connection.send(queue, "more").catch((error) =>
        assert(/full/.test(error.message), error.message)
      );
    }
    assert(said.length >= 10, `${said.length}`);
    assertEquals(counts(), []);
  });
}

Deno.test("changes of a size are added up where nobody puts, and those of queues without a limit are not kept", async () => {
  await using database = await openMemory();
  const [limited, other] = [1, 2];
  const empty = await database.transact(async (tx) => {
    await keepSize(tx, limited);
    return await sizeOf(tx, limited);
  });
  assertEquals(empty, { count: 0, bytes: 0 });
  for (let i = 0; i < 100; i++) {
    await database.transact(async (tx) => {
      noteSize(tx, limited, 2, 10);
      noteSize(tx, limited, -1, -3);
      noteSize(tx, other, 1, 1);
      await writeSizes(tx);
    });
  }
  const written = () =>
    database.read((tx) =>
      tx.rows("SELECT queue, messages, bytes FROM dashi.sizes ORDER BY id")
    );
  assertEquals((await written()).length, 101);
  await database.transact(addUpSizes);
  const rows = (await written()).map((row) => ({ ...row }));
  assertEquals(rows, [{ queue: limited, messages: 100, bytes: 700 }]);
  const size = await database.transact((tx) => sizeOf(tx, limited));
  assertEquals(size, { count: 100, bytes: 700 });
  // What is forgotten is counted: nothing is there.
  const counted = await database.transact(async (tx) => {
    noteSize(tx, limited, 5, 5);
    await forgetSize(tx, limited);
    return await sizeOf(tx, limited);
  });
  assertEquals(counted, { count: 0, bytes: 0 });
});
