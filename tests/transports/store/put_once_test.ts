import { assertEquals, assertRejects } from "@std/assert";
import { Limits } from "../../../async/limits.ts";
import { turn } from "../../../async/turn.ts";
import { ConnectionError, PublishError } from "../../../model/errors.ts";
import {
  type FoundMark,
  type Handles,
  type MarkTable,
  putOnce,
} from "../../../transports/store/put_once.ts";
import {
  PUT,
  type PutResult,
  type StoreItem,
} from "../../../transports/store/store.ts";
import { publishing } from "../../conformance/support.ts";
import { TestClock } from "../../../testing/clock.ts";

const KEY = "k";
const ITEMS: readonly StoreItem[] = ["a", "b"].map((queue) => ({
  queue,
  message: publishing("", "k", "x"),
  ttl: undefined,
}));

/** A table in memory. */
class Table implements MarkTable {
  readonly clock = new TestClock();
  readonly limits = new Limits(this.clock);
  mark: FoundMark | undefined;
  #count = 0;

  now(): number {
    return this.clock.now();
  }

  handleFor({ queue }: StoreItem): string {
    return `${queue}${++this.#count}`;
  }

  read(): Promise<FoundMark | undefined> {
    return Promise.resolve(this.mark);
  }

  write(
    ...[, mark, before]: Parameters<MarkTable["write"]>
  ): Promise<FoundMark | undefined> {
    if (before?.revision !== this.mark?.revision) {
      return Promise.resolve(undefined);
    }
    const revision = String(++this.#count);
    return Promise.resolve(this.mark = { ...mark, revision });
  }

  remove(...[, before]: Parameters<MarkTable["remove"]>): Promise<void> {
    if (before.revision === this.mark?.revision) this.mark = undefined;
    return Promise.resolve();
  }
}

/** Puts with a token; `puts` has the handles that were put. */
function putting(
  table: Table,
  token: string,
  put: () => Promise<PutResult> = () => Promise.resolve(PUT),
): { readonly puts: Handles[]; readonly done: Promise<PutResult> } {
  const puts: Handles[] = [];
  const mark = { key: KEY, window: 60_000, token };
  const done = putOnce(table, mark, ITEMS, (handles) => {
    puts.push(handles);
    return put();
  });
  return { puts, done };
}

const LOST = () =>
  Promise.reject(
    new ConnectionError("lost", {
      code: "connection-lost",
      outcome: "unknown",
    }),
  );

Deno.test("a publisher that has lost its answer puts the same handles again", async () => {
  const table = new Table();
  const first = putting(table, "mine", LOST);
  await assertRejects(() => first.done, ConnectionError);
  const second = putting(table, "mine");
  assertEquals((await second.done).type, "put");
  assertEquals(second.puts, first.puts);
  const third = putting(table, "mine");
  assertEquals([(await third.done).type, third.puts], ["put", []]);
  const other = putting(table, "other");
  assertEquals([(await other.done).type, other.puts], ["duplicate", []]);
});

Deno.test("another waits while a message is being put, and puts the same handles if its publisher is gone", async () => {
  const table = new Table();
  const gone = putting(table, "gone", () => new Promise(() => {}));
  await turn();
  const other = putting(table, "other");
  for (let time = 0; time < 9500; time += 100) {
    await turn();
    table.clock.pass(100);
  }
  assertEquals(other.puts, []);
  for (let time = 0; time < 1500; time += 100) {
    await turn();
    table.clock.pass(100);
  }
  assertEquals((await other.done).type, "put");
  assertEquals(other.puts, gone.puts);
});

Deno.test("another that waits hears that it is a duplicate when the message is there", async () => {
  const table = new Table();
  const { promise, resolve } = Promise.withResolvers<PutResult>();
  const first = putting(table, "first", () => promise);
  await turn();
  const other = putting(table, "other");
  await turn();
  resolve(PUT);
  assertEquals((await first.done).type, "put");
  table.clock.pass(1000);
  assertEquals((await other.done).type, "duplicate");
  assertEquals(other.puts, []);
});

Deno.test("a message that is refused leaves no mark", async () => {
  const table = new Table();
  const full = putting(table, "one", () => Promise.resolve({ type: "full" }));
  assertEquals((await full.done).type, "full");
  assertEquals(table.mark, undefined);
  const refused = putting(table, "two", () =>
    Promise.reject(
      new PublishError("too large", { code: "message-too-large" }),
    ));
  await assertRejects(() => refused.done, PublishError);
  assertEquals(table.mark, undefined);
});

Deno.test("who is called off while another puts the message leaves no timer", async () => {
  const table = new Table();
  putting(table, "gone", () => new Promise(() => {}));
  await turn();
  const mark = { key: KEY, window: 60_000, token: "other" };
  const abort = new AbortController();
  const { signal } = abort;
  const done = putOnce(table, mark, ITEMS, () => Promise.resolve(PUT), {
    signal,
  });
  for (let i = 0; i < 100 && table.clock.timers === 0; i++) await turn();
  assertEquals(table.clock.timers, 1);
  abort.abort(new Error("called off"));
  await assertRejects(() => done, Error, "called off");
  assertEquals(table.clock.timers, 0);
});
