import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { until } from "../../conformance/support.ts";
import { type Word, Worker } from "../../support/worker.ts";

/** The time after which messages of a killed process go back, ms. */
const OPTIONS = { transportOptions: { visibilityTimeout: 1000 } };

/** How many messages each of the killed producers has confirmed at the least. */
const CONFIRMED = 300;

async function withFile(run: (url: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-sqlite-" });
  try {
    await run(`sqlite:${folder}/shared.db`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("producers and consumers of one file are killed: all that was confirmed arrives, and only what was in hand comes again (rows 3, 6)", () =>
  withFile(async (url) => {
    const queue = new Queue("kills");
    await using connection = createConnection(url, OPTIONS);
    await connection.declare(queue);
    const confirmed = new Set<number>();
    const seen = new Map<number, number>();
    let redelivered = 0;
    const prefetch = 20;
    const consume = () =>
      new Worker(
        { mode: "consume", url, queue: queue.name, prefetch, ...OPTIONS },
        ({ got, redelivered: again }: Word) => {
          if (got === undefined) return;
          seen.set(got, (seen.get(got) ?? 0) + 1);
          if (again) redelivered++;
        },
      );
    const publish = (from: number) =>
      new Worker({ mode: "publish", url, queue: queue.name, from }, (word) => {
        if (word.confirmed !== undefined) confirmed.add(word.confirmed);
      });
    let [first, second] = [consume(), consume()];
    try {
      for (let i = 0; i < 2; i++) {
        const from = i * 1_000_000;
        const producer = publish(from);
        await producer.until((word) => word.confirmed === from + CONFIRMED);
        await first.kill();
        await producer.kill();
        [first, second] = [second, consume()];
      }
      await until(
        () => [...confirmed].every((each) => seen.has(each)),
        () =>
          `${
            [...confirmed].filter((each) => !seen.has(each)).length
          } confirmed messages`,
      );
    } finally {
      await Promise.all([first.kill(), second.kill()]);
    }
    assert(confirmed.size >= 2 * CONFIRMED);
    assert(redelivered <= 2 * prefetch, `${redelivered} came again`);
    const twice = [...seen.values()].reduce((sum, times) => sum + times - 1, 0);
    assert(twice <= redelivered, `${twice} of ${redelivered} came twice`);
  }));

/** Writes to a file that a test has locked, and says when it begins. */
const LOCKER = `
  import { DatabaseSync } from "node:sqlite";
  const database = new DatabaseSync(Deno.args[0]);
  database.exec("BEGIN IMMEDIATE");
  console.log("locked");
  await Deno.stdin.read(new Uint8Array(1));
  database.exec("COMMIT");
`;

Deno.test("a call waits for a process that has the file locked, and this process goes on meanwhile", () =>
  withFile(async (url) => {
    const queue = new Queue("locked");
    await using connection = createConnection(url);
    await connection.declare(queue);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", LOCKER, url.slice("sqlite:".length)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    let isPut = false;
    const sending = connection.send(queue, 1).then(() => isPut = true);
    let turns = 0;
    await until(() => ++turns > 50, "a turn of the event loop");
    assertEquals(isPut, false);
    await child.stdin.close();
    await sending;
    await child.status;
    await reader.cancel();
    assertEquals((await connection.queue(queue.name).get())?.payload, 1);
  }));
