import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { arrives, unique, until } from "../../conformance/support.ts";
import { DATABASES, schemaOf } from "../outbox/databases.ts";
import type { InboxErrand } from "./sql_inbox_program.ts";

const PROGRAM = new URL("./sql_inbox_program.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;
const KILLS = Number(Deno.env.get("DASHI_TEST_INBOX_KILLS") ?? 3);

const broker = Deno.env.get("DASHI_TEST_AMQP_URL");

/** A program that handles messages; it ends when it is killed. */
class Worker {
  readonly atWork: Promise<void>;
  readonly #child: Deno.ChildProcess;

  constructor(errand: InboxErrand) {
    const child = this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", CONFIG, PROGRAM].concat(
        JSON.stringify(errand),
      ),
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.atWork = promise;
    void (async () => {
      for await (const _ of child.stdout) resolve();
    })();
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

for (const { name, reason, use } of DATABASES) {
  const why = reason ??
    (broker === undefined
      ? Deno.env.get("DASHI_TEST_AMQP_REASON") ??
        "run it by deno task test, which provides RabbitMQ"
      : undefined);
  Deno.test({
    name:
      `${name}: workers are killed in their handlers: each effect is there exactly once${
        why === undefined ? "" : ` (${why})`
      }`,
    ignore: why !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () =>
      use(async (shop) => {
        const url = broker ?? "";
        await shop.query("CREATE TABLE effects (id TEXT PRIMARY KEY)");
        await shop.query("CREATE TABLE totals (count INTEGER)");
        await shop.query("INSERT INTO totals VALUES (0)");
        await using connection = createConnection(url);
        const queue = new Queue<string>(unique("inbox-kills"));
        await connection.declare(queue);
        const start = () =>
          new Worker({
            database: shop.url.split("?")[0] ?? "",
            schema: schemaOf(shop),
            broker: url,
            queue: queue.name,
          });
        let sent = 0;
        const send = async () => {
          for (const end = sent + 25; sent < end; sent++) {
            const messageId = `order ${sent}`;
            // Some are published twice.
            const copies = sent % 10 === 0 ? 2 : 1;
            for (let i = 0; i < copies; i++) {
              await connection.send(queue, String(sent), { messageId });
            }
          }
        };
        await send();
        let next = start();
        for (let kills = 0; kills < KILLS; kills++) {
          const current = next;
          await arrives(current.atWork, "a worker at work", 60_000);
          next = start();
          await new Promise((resolve) =>
            setTimeout(resolve, Math.random() * 200)
          );
          await current.kill();
          await send();
        }
        try {
          // Messages that came again are handled one by one: each has its time.
          for (let seen = -1; seen < sent;) {
            const before = seen;
            await until(async () => {
              const [row] = await shop.query(
                "SELECT count(*) AS count FROM effects",
              );
              seen = Number(row?.count);
              return seen > before;
            }, () => `more than ${before} of ${sent} effects`);
          }
          await until(
            async () =>
              (await connection.queueStatus(queue)).messageCount === 0,
            "an empty queue",
          );
        } finally {
          await next.kill();
          await connection.delete(queue);
        }
        const [total] = await shop.query("SELECT count FROM totals");
        assertEquals(Number(total?.count), sent);
      }),
  });
}
