/** Encryption and claim checks under processes that are killed while they publish and handle. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue, SYSTEM_CLOCK } from "@dashi/mq";
import { createFolderClaimStore } from "@dashi/mq/middleware";
import { encodeBase64 } from "../../codec/base64.ts";
import { failedQueue } from "../../virtual/mod.ts";
import { apart } from "../support/apart.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { ALL } from "../support/targets.ts";

const CHILD = new URL("middleware_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** How many consumers are at work at once, with so many handlers each. */
const [WORKERS, CONCURRENCY] = [2, 5];
/** How many messages there are, and how many processes of each kind are killed. */
const [COUNT, KILLS] = ALL ? [300, 6] : [100, 2];

/** Milliseconds after which a test fails. */
const PATIENCE = 120_000;
/** The expiry of bodies, ms. */
const EXPIRY = 600_000;

const MARKER = "nobody-may-read";

for (
  const [name, broker, query] of [
    ["amqp", Deno.env.get("DASHI_TEST_AMQP_URL"), ""],
    // Redis gives back what a killed process held when its lease is over.
    ["redis", Deno.env.get("DASHI_TEST_REDIS_URL"), "?visibility_timeout=2"],
  ] as const
) {
  Deno.test({
    name:
      `${name}: over kills no encrypted message is lost or readable, and no body stays in a claim store beyond its expiry${
        broker === undefined ? " (there is no broker)" : ""
      }`,
    ignore: broker === undefined,
    fn: () => underKills(apart(`${broker}${query}`)),
  });
}

async function underKills(url: string): Promise<void> {
  const before = resources();
  const folder = await Deno.makeTempDir();
  const [claims, published, handled] = ["claims", "published", "handled"].map(
    (each) => `${folder}/${each}`,
  );
  assert(claims !== undefined);
  await Deno.mkdir(claims);
  const name = `dashi-middleware-${crypto.randomUUID()}`;
  const failed = failedQueue(name);
  const connection = createConnection(url, { operationTimeout: 60_000 });
  const key = encodeBase64(crypto.getRandomValues(new Uint8Array(32)));
  const children = new Map<number, Deno.ChildProcess>();
  let kills = 0;
  const start = (role: string, journal = "", ...more: number[]) => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", CONFIG, CHILD, role].concat(
        url,
        name,
        claims,
        key,
        journal,
        more.map(String),
      ),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    children.set(child.pid, child);
    return child;
  };
  const kill = async (pid: number) => {
    const child = children.get(pid);
    children.delete(pid);
    child?.kill("SIGKILL");
    await child?.status;
  };
  const end = performance.now() + PATIENCE;
  const wait = async (what: string) => {
    assert(performance.now() < end, `${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  try {
    await connection.declare(new Queue(name));
    // A plain one shows that what is looked for below would be found.
    await connection.send(name, MARKER);
    assertEquals(await readable(connection, name), 1);

    for (let from = 0; from < COUNT;) {
      const child = start("publish", published, from, COUNT);
      if (kills === KILLS) {
        assert((await child.status).success, "the last publisher has failed");
        children.delete(child.pid);
        break;
      }
      const until = ++kills * COUNT / (KILLS + 1);
      while ((await idsIn(published)).size < until) await wait("a publish");
      await kill(child.pid);
      // Those that were under way may be there, and are published again.
      const ids = await idsIn(published);
      while (ids.has(from)) from++;
    }
    assertEquals((await idsIn(published)).size, COUNT);
    assertEquals(await readable(connection, name), 0);

    const larger = Math.floor(COUNT / 2);
    assert(filesIn(claims).length >= larger, "large bodies lie in the store");
    for (const each of filesIn(claims)) {
      const bytes = await Deno.readFile(`${claims}/${each}`);
      assert(!latin(bytes).includes(MARKER), each);
    }

    for (let i = 0; i < WORKERS; i++) start("consume", handled);
    for (let round = 1; round <= KILLS; round++) {
      const until = round * COUNT / (KILLS + 2);
      while ((await idsIn(handled)).size < until) await wait("a handler");
      const [pid = 0] = children.keys();
      await kill(pid);
      start("consume", handled);
    }
    while ((await idsIn(handled)).size < COUNT) await wait("the last message");
    // The messages that are there yet are copies.
    while (!await isIdle(connection, name)) await wait("the last ack");
    await Promise.all([...children.keys()].map(kill));

    assertEquals(await readable(connection, failed), 0);
    // A copy whose body went with the ack of another is parked, and no other message.
    const most = KILLS * CONCURRENCY * 2;
    const parked = await idsAt(connection, failed);
    assert(parked.length <= most, `${parked.length} are parked`);
    const ids = await idsIn(handled);
    for (const id of parked) assert(ids.has(Number(id.slice(2))), id);

    // A body is left only where a process was killed: it goes with its time.
    const left = filesIn(claims).length;
    assert(left <= most, `${left} bodies are left`);
    const later = createFolderClaimStore(claims, {
      ...SYSTEM_CLOCK,
      wall: () => SYSTEM_CLOCK.wall() + EXPIRY,
    });
    assertEquals(await later.sweep(), left);
    assertEquals(filesIn(claims), []);
  } finally {
    await Promise.all([...children.keys()].map(kill));
    const channel = await connection.channel();
    for (const each of [name, failed]) await channel.deleteQueue(each);
    await connection.close();
    await Deno.remove(folder, { recursive: true });
  }
  await assertNothingLeft(before);
}

/** Counts the messages of a queue in which the text can be read, and takes these out. */
async function readable(
  connection: ReturnType<typeof createConnection>,
  queue: string,
): Promise<number> {
  let count = 0;
  await each(connection, queue, async (message) => {
    const { body, headers, properties } = message;
    const all = latin(body) + JSON.stringify([headers, properties]);
    if (!all.includes(MARKER)) return;
    count++;
    await message.ack();
  });
  return count;
}

async function idsAt(
  connection: ReturnType<typeof createConnection>,
  queue: string,
): Promise<string[]> {
  const ids: string[] = [];
  await each(connection, queue, ({ properties }) => {
    ids.push(properties.messageId ?? "");
    return Promise.resolve();
  });
  return ids;
}

type Got = NonNullable<
  Awaited<
    ReturnType<ReturnType<ReturnType<typeof createConnection>["queue"]>["get"]>
  >
>;

/** Looks at all messages of a queue, and gives back those that are not settled. */
async function each(
  connection: ReturnType<typeof createConnection>,
  queue: string,
  look: (message: Got) => Promise<void>,
): Promise<void> {
  await connection.declare(new Queue(queue));
  await using handle = connection.queue(queue);
  for (;;) {
    const message = await handle.get();
    if (message === undefined) return;
    await look(message);
  }
}

/** Whether nothing is in a queue, with anybody: the consumers' own messages count where the broker tells. */
async function isIdle(
  connection: ReturnType<typeof createConnection>,
  queue: string,
): Promise<boolean> {
  return (await connection.queueStatus(queue)).messageCount === 0;
}

async function idsIn(journal: string | undefined): Promise<Set<number>> {
  const text = await Deno.readTextFile(journal ?? "").catch(() => "");
  return new Set(
    text.split("\n").slice(0, -1).map((line) => Number(line.split(" ")[0])),
  );
}

function filesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name);
}

function latin(bytes: Uint8Array): string {
  return Array.from(bytes, (each) => String.fromCharCode(each)).join("");
}
