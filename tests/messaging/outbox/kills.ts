/** Programs that write rows and relay their messages, and are killed at any moment. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { arrives, unique, until } from "../../conformance/support.ts";
import { openDatabase, type TestDatabase } from "./databases.ts";

const PROGRAM = new URL("./killed_program.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;

/** What the program is to do. */
export interface Errand {
  readonly database: string;
  /** Statements of the client, before all others. */
  readonly setup: string | undefined;
  readonly broker: string;
  readonly queue: string;
  /** The program's number: with the row's it names a message. */
  readonly run: number;
  /** Whether it writes; it relays in any case. */
  readonly writes: boolean;
}

/** How many messages became what. */
export interface KillCounts {
  readonly kills: number;
  readonly committed: number;
  readonly duplicates: number;
}

/** Options of {@linkcode killPrograms}. */
export interface KillOptions {
  readonly kills: number;
  readonly broker: string;
  /** Statements that a client of the program must run first. */
  readonly setup?: string | undefined;
  readonly onKill?: ((count: number) => void) | undefined;
}

/** A lease that ends soon after a kill, ms. */
export const LEASE = 200;

/** The process of a program, which says a word when it is at work, and after each commit. */
class Killed {
  readonly #child: Deno.ChildProcess;
  readonly #writes: boolean;
  #words = 0;
  #onWord = () => {};

  constructor(errand: Errand) {
    const child = this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", CONFIG, PROGRAM].concat(
        JSON.stringify(errand),
      ),
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writes = errand.writes;
    void (async () => {
      for await (const bytes of child.stdout) {
        this.#words += bytes.filter((byte) => byte === 10).length;
        this.#onWord();
      }
    })();
  }

  /** Waits until it is in the middle of its work. */
  async atWork(): Promise<void> {
    const words = this.#writes ? 2 + Math.floor(Math.random() * 4) : 1;
    await new Promise<void>((resolve) => {
      this.#onWord = () => {
        if (this.#words >= words) resolve();
      };
      this.#onWord();
    });
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/**
 * Kills programs that write and relay: each row that is committed arrives, no other does, the
 * first arrivals of each program are in its order, and copies have the same id.
 */
export async function killPrograms(
  shop: TestDatabase,
  { kills, broker: url, setup, onKill }: KillOptions,
): Promise<KillCounts> {
  const queue = new Queue(unique("outbox-kills"));
  await using database = createConnection(shop.url);
  await using broker = createConnection(url);
  await broker.declare(queue);
  await database.connect();
  await shop.query("CREATE TABLE written (id TEXT PRIMARY KEY)");
  const outbox = createOutbox(database);
  const start = (run: number, writes: boolean) =>
    new Killed({
      database: shop.url,
      setup,
      broker: url,
      queue: queue.name,
      run,
      writes,
    });
  // The next one starts while this one works: of two relays one waits.
  let next = start(0, true);
  for (let run = 1; run <= kills; run++) {
    const current = next;
    await arrives(current.atWork(), "a program at work", 60_000);
    if (run < kills) next = start(run, run % 3 > 0);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    await current.kill();
    onKill?.(run);
  }
  const end = new AbortController();
  const relaying = outbox.relay(broker, { lease: LEASE, signal: end.signal });
  await until(async () => (await outbox.status()).count === 0, "no rows");
  end.abort();
  await relaying;

  const rows = await shop.query("SELECT id FROM written");
  const written = new Set(rows.map(({ id }) => String(id)));
  const { messageCount } = await broker.queueStatus(queue);
  const times = new Map<string, number>();
  const last = new Map<string, number>();
  let taken = 0;
  for await (const message of broker.consumer<string>(queue)) {
    const { messageId } = message.properties;
    const id = message.payload;
    assertEquals(messageId, `order ${id}`);
    assert(written.has(id), `${id} was never committed`);
    const seen = times.get(id) ?? 0;
    times.set(id, seen + 1);
    if (seen === 0) {
      const [run = "", number] = id.split("-");
      assert(Number(number) > (last.get(run) ?? -1), `${id} came too late`);
      last.set(run, Number(number));
    }
    await message.ack();
    if (++taken === messageCount) break;
  }
  assertEquals([...written].filter((id) => !times.has(id)), []);
  await broker.delete(queue);
  return { kills, committed: written.size, duplicates: taken - written.size };
}

export { openDatabase };
