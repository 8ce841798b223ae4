import { assertEquals } from "@std/assert";
import { AccessRefusedError, NotFoundError } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import { Leftovers } from "../../../transports/store/leftovers.ts";
import type { Reservation } from "../../../transports/store/store.ts";
import { TestClock } from "../../../testing/clock.ts";

/** Leftovers of a store that gives nothing back, and how often it was asked to. */
function refused(error: Error): {
  readonly clock: TestClock;
  readonly leftovers: Leftovers;
  readonly calls: () => number;
} {
  const clock = new TestClock();
  let calls = 0;
  const messages = {
    release() {
      calls++;
      return Promise.reject(error);
    },
  };
  const leftovers = new Leftovers(messages, {
    clock,
    operationTimeout: 30_000,
  });
  return { clock, leftovers, calls: () => calls };
}

Deno.test("messages that are held of a deleted queue are not given back again and again when their connection closes", async () => {
  const { clock, leftovers, calls } = refused(
    new NotFoundError("there is no such queue"),
  );
  await leftovers.release([{ queue: "gone" } as Reservation]);
  assertEquals(calls(), 1);
  await leftovers.close(30_000);
  assertEquals(calls(), 2);
  assertEquals(leftovers.held(), []);
  assertEquals(clock.timers, 0);
});

Deno.test("of what its connection has lost nothing is tried again, nor what comes later", async () => {
  const { clock, leftovers, calls } = refused(new Error("it is away"));
  await leftovers.release([{ queue: "q" } as Reservation]);
  leftovers.stop();
  await leftovers.release([{ queue: "q" } as Reservation]);
  assertEquals([calls(), leftovers.held(), clock.timers], [2, [], 0]);
  clock.pass(60_000);
  assertEquals(calls(), 2);
});

Deno.test("what is no longer ours is renewed no more, nor given back when its connection closes", async () => {
  const { clock, leftovers, calls } = refused(new Error("it is away"));
  const lost = { queue: "q" } as Reservation;
  await leftovers.release([lost]);
  assertEquals(leftovers.held(), [lost]);
  leftovers.lose([lost]);
  assertEquals(leftovers.held(), []);
  await leftovers.close(30_000);
  assertEquals(calls(), 1);
  assertEquals(clock.timers, 0);
});

Deno.test("what the login may not give back holds up no connection that closes", async () => {
  const clock = new TestClock();
  const asked: string[] = [];
  const leftovers = new Leftovers({
    release([reservation]: readonly Reservation[]) {
      asked.push(reservation?.queue ?? "");
      return reservation?.queue === "refused"
        ? Promise.reject(new AccessRefusedError("no permission", {}))
        : asked.length < 5
        ? Promise.reject(new Error("it is away"))
        : Promise.resolve([]);
    },
  }, { clock, operationTimeout: 30_000 });
  await leftovers.release([{ queue: "refused" } as Reservation]);
  await leftovers.release([{ queue: "away" } as Reservation]);
  const closing = leftovers.close(30_000);
  for (let i = 0; i < 20; i++) await Promise.resolve();
  clock.pass(50);
  await closing;
  assertEquals(asked, ["refused", "away", "refused", "away", "away"]);
});

Deno.test("what fails to go back again and again is tried ever slower, up to every thirty seconds", async () => {
  const clock = new TestClock();
  const at: number[] = [];
  const leftovers = new Leftovers({
    release() {
      at.push(clock.now());
      return Promise.reject(new Error("it is away"));
    },
  }, { clock, operationTimeout: 30_000 });
  await leftovers.release([{ queue: "q" } as Reservation]);
  while (clock.now() < 92_000) {
    clock.pass(500);
    await turn();
  }
  leftovers.stop();
  const seconds = [0, 1, 3, 7, 15, 31, 61, 91];
  assertEquals(at, seconds.map((each) => 1000 * each));
});
