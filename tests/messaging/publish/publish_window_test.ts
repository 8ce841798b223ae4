import { assert, assertEquals, assertRejects } from "@std/assert";
import { Limits } from "../../../async/limits.ts";
import { turn } from "../../../async/turn.ts";
import { TimeoutError } from "../../../model/errors.ts";
import type { Place } from "../../../messaging/publish/publish_call.ts";
import { PublishWindow } from "../../../messaging/publish/publish_window.ts";
import { TestClock } from "../../../testing/clock.ts";
import { message } from "../../support/stores.ts";

/** A window of two over a broker that answers when it is told to. */
function windowOf(most = 2) {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const sent: { key: string; answer: PromiseWithResolvers<void> }[] = [];
  const publisher = {
    publish(
      { routingKey }: { readonly routingKey: string },
      _call: unknown,
      place: Place,
    ) {
      const answer = Promise.withResolvers<void>();
      sent.push({ key: routingKey, answer });
      return place.follow(answer.promise);
    },
  };
  // deno-lint-ignore no-explicit-any -- of the publisher it uses one method
  const window = new PublishWindow(publisher as any, limits, most);
  const pass = (
    key: string,
    { signal, deadline = Infinity }: {
      signal?: AbortSignal;
      deadline?: number;
    } = {},
  ) => window.pass(message("x", key), { retry: true, signal, deadline });
  return { clock, sent, window, pass, keys: () => sent.map(({ key }) => key) };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await turn();
}

Deno.test("so many are in flight, and the others follow in order as answers come", async () => {
  const { pass, sent, keys } = windowOf();
  const done: string[] = [];
  for (const key of ["a", "b", "c", "d"]) {
    pass(key).then(() => done.push(key), () => done.push(`${key} failed`));
  }
  assertEquals(keys(), ["a", "b"]);
  sent[1]?.answer.resolve();
  await settle();
  assertEquals([keys(), done], [["a", "b", "c"], ["b"]]);
  sent[0]?.answer.reject(new Error("refused"));
  await settle();
  assertEquals([keys(), done], [["a", "b", "c", "d"], ["b", "a failed"]]);
  for (const { answer } of sent) answer.resolve();
  await settle();
  assertEquals(done, ["b", "a failed", "c", "d"]);
});

Deno.test("a publish that waits for room in vain leaves its place, and is never sent", async () => {
  const { clock, pass, sent, keys } = windowOf(1);
  const first = pass("first");
  const controller = new AbortController();
  const aborted = pass("aborted", { signal: controller.signal });
  const late = pass("late", { deadline: clock.now() + 100 });
  const last = pass("last", { deadline: clock.now() + 10_000 });
  const reason = new Error("mine");
  controller.abort(reason);
  assertEquals(await aborted.catch((error) => error), reason);
  clock.pass(101);
  const error = await assertRejects(() => late, TimeoutError);
  assertEquals(error.outcome, "not-sent");
  assert(error.message.includes('exchange "x"'), error.message);
  assert(error.message.includes("1 messages"), error.message);
  sent[0]?.answer.resolve();
  await first;
  await settle();
  assertEquals(keys(), ["first", "last"]);
  // It has its place: its deadline is the publisher's matter from now on.
  clock.pass(20_000);
  await settle();
  sent[1]?.answer.resolve();
  await last;
});

Deno.test("drain() waits for what is in flight and for what waits, and for nothing where nothing is", async () => {
  const { window, pass, sent } = windowOf(1);
  await window.drain();
  const all = [pass("a"), pass("b")];
  let drained = 0;
  const both = [window.drain(), window.drain()].map((each) =>
    each.then(() => drained++)
  );
  sent[0]?.answer.resolve();
  await settle();
  assertEquals([sent.length, drained], [2, 0]);
  sent[1]?.answer.resolve();
  await Promise.all([...all, ...both]);
  assertEquals(drained, 2);
});

Deno.test("a tight loop over publish lets timers have their turn", async () => {
  const { pass, sent } = windowOf(1000);
  let fired = false;
  setTimeout(() => fired = true, 0);
  for (let i = 0; i < 20_000 && !fired; i++) {
    const passed = pass("x");
    sent[i]?.answer.resolve();
    await passed;
  }
  assert(fired, "no timer had its turn in 20,000 publishes");
});

Deno.test("ready waits for room and for nothing else, and drain() may be waited for again", async () => {
  const { window, pass, sent } = windowOf();
  const told: string[] = [];
  assert(window.ready === window.ready);
  for (const key of ["a", "b"]) pass(key).catch(() => told.push("refused"));
  const room = window.ready;
  assert(room === window.ready);
  room.then(() => told.push("room"));
  await settle();
  assertEquals(told, []);
  sent[0]?.answer.reject(new Error("refused"));
  await settle();
  assertEquals(told.sort(), ["refused", "room"]);
  assert(window.ready !== room);
  for (const key of ["c", "d"]) {
    const drained = window.drain().then(() => told.push(`before ${key}`));
    await settle();
    assert(!told.includes(`before ${key}`));
    for (const { answer } of sent) answer.resolve();
    await drained;
    pass(key);
  }
});
