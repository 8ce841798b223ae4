import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import {
  type Claim,
  createMemoryInbox,
  type InboxClaims,
  LeasedInbox,
} from "../../../messaging/inbox/mod.ts";
import { MemoryClaims } from "../../../messaging/inbox/memory_inbox.ts";
import { TestClock } from "../../../testing/clock.ts";

const NEVER = new AbortController().signal;
const CALL = {
  signal: NEVER,
  onError: (error: Error) => {
    throw error;
  },
};

/** Lets time pass, and the event loop turn in between. */
async function pass(clock: TestClock, time: number): Promise<void> {
  for (let i = 0; i < time; i += 10) {
    clock.pass(10);
    await turn();
  }
}

/** Claims that note the calls, and answer as they are told. */
function claims(
  clock: TestClock,
  changes: Partial<InboxClaims> = {},
): { readonly calls: string[]; readonly inbox: LeasedInbox } {
  const calls: string[] = [];
  const note = (name: keyof InboxClaims) => (...given: unknown[]) => {
    const [key, , time] = given;
    calls.push(`${name} ${key}${time === undefined ? "" : ` ${time}`}`);
    const verb = changes[name] as
      | ((...given: unknown[]) => Promise<unknown>)
      | undefined;
    return verb?.(...given) ??
      Promise.resolve(name === "claim" ? "claimed" : undefined);
  };
  const inbox = new LeasedInbox(
    {
      claim: note("claim") as InboxClaims["claim"],
      renew: note("renew") as Required<InboxClaims>["renew"],
      finish: note("finish") as InboxClaims["finish"],
      release: note("release") as InboxClaims["release"],
    },
    { window: 5000, lease: 300 },
    clock,
  );
  return { calls, inbox };
}

Deno.test("a claim is renewed after each third of its lease while the work lasts, and not after it", async () => {
  const clock = new TestClock();
  const { calls, inbox } = claims(clock);
  let done = () => {};
  const handling = inbox.handle(
    "k",
    () => new Promise<void>((resolve) => done = resolve),
    CALL,
  );
  await turn();
  await pass(clock, 250);
  done();
  assertEquals(await handling, "handled");
  await pass(clock, 1000);
  assertEquals(calls, [
    "claim k 300",
    "renew k 300",
    "renew k 300",
    "finish k 5000",
  ]);
  assertEquals(clock.timers, 0);
});

Deno.test("work that fails is released, and its error is the call's", async () => {
  const clock = new TestClock();
  const { calls, inbox } = claims(clock);
  const failing = () => Promise.reject(new TypeError("no"));
  await assertRejects(() => inbox.handle("k", failing, CALL), TypeError, "no");
  assertEquals(calls, ["claim k 300", "release k"]);
  assertEquals(clock.timers, 0);
});

Deno.test("a claim that fails is made again under the same token, and so is a mark; both are told", async () => {
  const clock = new TestClock();
  const tokens = new Set<string>();
  let failures = 2;
  const fail = () => {
    if (failures-- > 0) throw new Error("away");
  };
  const { calls, inbox } = claims(clock, {
    claim: async (_, token): Promise<Claim> => {
      tokens.add(token);
      fail();
      return await Promise.resolve("claimed");
    },
    finish: async () => await Promise.resolve(fail()),
  });
  const told: string[] = [];
  let works = 0;
  const handling = inbox.handle("k", () => {
    works++;
    failures = 3;
    return Promise.resolve();
  }, { signal: NEVER, onError: ({ message }) => void told.push(message) });
  await turn();
  await pass(clock, 1000);
  assertEquals(await handling, "handled");
  assertEquals(works, 1);
  assertEquals(tokens.size, 1);
  assertEquals(told, ["away", "away", "away", "away", "away"]);
  assertEquals(calls.filter((each) => !each.startsWith("renew")), [
    "claim k 300",
    "claim k 300",
    "claim k 300",
    "finish k 5000",
    "finish k 5000",
    "finish k 5000",
    "finish k 5000",
  ]);
});

Deno.test("one that waits for another ends when its signal aborts", async () => {
  const clock = new TestClock();
  const { inbox } = claims(clock, { claim: () => Promise.resolve("busy") });
  const stop = new AbortController();
  const handling = inbox.handle("k", () => Promise.resolve(), {
    ...CALL,
    signal: stop.signal,
  });
  await turn();
  stop.abort(new Error("enough"));
  await assertRejects(() => handling, Error, "enough");
  assertEquals(clock.timers, 0);
});

Deno.test("an inbox in memory remembers for its window, and its size stays flat", async () => {
  const clock = new TestClock();
  const store = new MemoryClaims(clock);
  const inbox = new LeasedInbox(store, { window: 50 }, clock);
  const work = () => Promise.resolve();
  assertEquals(await inbox.handle("k", work, CALL), "handled");
  assertEquals(await inbox.handle("k", work, CALL), "duplicate");
  clock.pass(50);
  assertEquals(await inbox.handle("k", work, CALL), "handled");
  let most = 0;
  for (let i = 0; i < 5000; i++) {
    await inbox.handle(`k${i}`, work, CALL);
    most = Math.max(most, store.size);
    clock.pass(1);
  }
  assertEquals(most <= 52, true, `${most}`);
  assertEquals(clock.timers, 0);
});

Deno.test("options of an inbox that make no sense are refused", () => {
  const wrong: [object, string][] = [
    [{}, "window"],
    [{ window: 0 }, "window"],
    [{ window: Infinity }, "window"],
    [{ window: "1h" }, "window"],
    [{ window: 1, ttl: 2 }, '"window"'],
    [{ window: 1, lease: -1 }, "lease"],
  ];
  for (const [options, word] of wrong) {
    assertThrows(
      () => createMemoryInbox(options as { window: number }),
      Error,
      word,
    );
  }
});

Deno.test("a mark that fails is made ever slower, up to once a second, and given up after half a minute", async () => {
  const clock = new TestClock();
  const at: number[] = [];
  const { inbox } = claims(clock, {
    finish() {
      at.push(clock.now());
      return Promise.reject(new Error("it is away"));
    },
  });
  const handling = inbox.handle("k", () => Promise.resolve(), {
    signal: NEVER,
    onError: () => {},
  });
  await turn();
  await pass(clock, 40_000);
  assertEquals(await handling, "handled");
  const gaps = at.slice(1).map((time, i) => time - (at[i] ?? 0));
  assertEquals(gaps, [
    ...[20, 40, 80, 160, 320, 640],
    ...Array<number>(29).fill(1000),
  ]);
});
