import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { until } from "../../conformance/support.ts";
import { killProcesses } from "../../support/process_kills.ts";

async function withFile(run: (url: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-sqlite-" });
  try {
    await run(`sqlite:${folder}/shared.db`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("producers and consumers of one file are killed: all that was confirmed arrives, and only what was in hand comes again (rows 3, 6)", () =>
  withFile(killProcesses));

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
