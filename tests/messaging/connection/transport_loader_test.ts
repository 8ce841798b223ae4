/** The import of a client: none of the broker's time. */

import { assertEquals, assertRejects } from "@std/assert";
import { ClosedError, TimeoutError, TransportError } from "@dashi/mq";
import { readEndpoints } from "../../../messaging/connection/endpoint.ts";
import { Failover } from "../../../messaging/connection/failover.ts";
import { Session } from "../../../messaging/connection/session.ts";
import { createTransport } from "../../../transports/memory/mod.ts";
import type { TransportModule } from "../../../transports/transport.ts";
import { TestClock } from "../../../testing/clock.ts";

/** A session whose client is imported when the test says so. */
function stage() {
  const clock = new TestClock();
  const { promise: imported, resolve, reject } = Promise.withResolvers<
    TransportModule
  >();
  let asked = 0;
  const transport = () => {
    asked++;
    return imported;
  };
  const endpoints = readEndpoints("slow://here", { transport });
  const session = new Session({
    failover: new Failover(endpoints, "round-robin", Math.random),
    reconnect: {},
    clock,
    random: Math.random,
    name: undefined,
    onUnhandled: () => {},
  });
  return {
    clock,
    session,
    done: () => resolve({ createTransport }),
    fails: reject,
    get asked() {
      return asked;
    },
    [Symbol.asyncDispose]: () => session.close(clock.now() + 1000),
  };
}

/** Lets what is ready run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("an import that takes longer than connectTimeout is none of the broker's time", async () => {
  await using at = stage();
  const { clock, session } = at;
  const calls = [
    // As connect() waits, a publish, and a consumer.
    session.link({ deadline: Infinity, signal: undefined }, true),
    session.link({ deadline: 30_000, signal: undefined }),
    session.link({ deadline: Infinity, signal: undefined }),
  ];
  await turn();
  clock.pass(20_000);
  await turn();
  at.done();
  for (const link of await Promise.all(calls)) {
    assertEquals(link.connection.capabilities.has("delay"), true);
  }
  assertEquals(at.asked, 1);
});

Deno.test("a call whose deadline passes during an import says so", async () => {
  await using at = stage();
  const call = { deadline: 1000, signal: undefined };
  const error = assertRejects(
    () => at.session.link(call),
    TimeoutError,
    'the client of the transport "slow" was still being imported',
  );
  await turn();
  assertEquals(at.session.obstacle?.message.includes("imported"), true);
  at.clock.pass(1000);
  assertEquals((await error).outcome, "not-sent");
  at.done();
});

Deno.test("an import that lets no timer run does not hide that it used up a call's time", async () => {
  await using at = stage();
  const { clock, session } = at;
  const late = assertRejects(
    () => session.link({ deadline: 1000, signal: undefined }),
    TimeoutError,
    "was still being imported",
  );
  await turn();
  // The time has passed, and no timer has fired.
  const now = clock.now.bind(clock);
  clock.now = () => now() + 2000;
  at.done();
  await late;
});

Deno.test("an import that fails is told at once, and tried again by a later call", async () => {
  await using at = stage();
  const call = { deadline: 30_000, signal: undefined };
  const failed = assertRejects(() => at.session.link(call), TransportError);
  await turn();
  at.fails(new TransportError("none", { code: "dependency-missing" }));
  await failed;
  await assertRejects(() => at.session.link(call), TransportError);
  assertEquals(at.asked, 2);
});

Deno.test("a call that waits for an import hears of the connection's end, and of its own signal", async () => {
  const at = stage();
  const call = { deadline: Infinity, signal: undefined };
  const closed = assertRejects(() => at.session.link(call, true), ClosedError);
  const stop = new AbortController();
  const aborted = assertRejects(
    () => at.session.link({ deadline: 1000, signal: stop.signal }),
    Error,
    "mine",
  );
  await turn();
  stop.abort(new Error("mine"));
  await aborted;
  await at[Symbol.asyncDispose]();
  await closed;
});
