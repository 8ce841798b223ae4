/** The states of a circuit breaker, on a clock of their own. */

import { assertEquals, assertRejects } from "@std/assert";
import { DecodeError } from "../../../mod.ts";
import { turn } from "../../../async/turn.ts";
import {
  Breaker,
  type BreakerOptions,
} from "../../../messaging/consume/breaker.ts";
import { TestClock } from "../../../testing/clock.ts";

interface Scene {
  readonly clock: TestClock;
  readonly breaker: Breaker;
  readonly log: string[];
  /** Calls a handler that fails, or returns. */
  call(error?: Error): Promise<void>;
  end(): void;
}

function scene(options: Partial<BreakerOptions> = {}): Scene {
  const clock = new TestClock();
  const log: string[] = [];
  let hasEnded = false;
  const onEnd = new Set<() => void>();
  const breaker = new Breaker(
    { failures: 2, within: 100, rest: 50, ...options },
    {
      clock,
      hasEnded: () => hasEnded,
      onEnd(callback) {
        onEnd.add(callback);
        return () => onEnd.delete(callback);
      },
      opened: ({ message }, until) => void log.push(`${message}, ${until}`),
      halfOpened: () => void log.push("half open"),
      closed: () => void log.push("closed"),
    },
  );
  return {
    clock,
    breaker,
    log,
    async call(error) {
      const handler = breaker.judging((_: unknown) => {
        if (error !== undefined) throw error;
      });
      await breaker.trying<unknown>(handler)({} as never)?.catch(() => {});
    },
    end() {
      hasEnded = true;
      for (const each of onEnd) each();
    },
  };
}

const DOWN = new Error("down");

Deno.test("a breaker counts failures in a window that slides, whatever succeeds between them", async () => {
  const { clock, call, log, breaker } = scene();
  await call(DOWN);
  clock.pass(100);
  await call(DOWN);
  clock.pass(60);
  await call();
  assertEquals([log, breaker.place()], [[], undefined]);
  await call(DOWN);
  assertEquals(log, ["down, 210"]);
  assertEquals(
    breaker.reason,
    "its circuit breaker is open until 1970-01-01T00:00:00.210Z",
  );
});

Deno.test("a breaker that rests lets one begin, whose failure lets it rest again, and its success closes it", async () => {
  const { clock, call, log, breaker } = scene({ failures: 1 });
  await call(DOWN);
  let isFree = false;
  breaker.place()?.then(() => isFree = true);
  clock.pass(49);
  await turn();
  assertEquals(isFree, false);
  clock.pass(1);
  await turn();
  assertEquals([isFree, breaker.place()], [true, undefined]);
  await call(DOWN);
  assertEquals(breaker.isOpen, true);
  clock.pass(50);
  const ends = Promise.withResolvers<void>();
  const running = breaker.trying<unknown>(breaker.judging(() => ends.promise))(
    {} as never,
  );
  breaker.place()?.then(() => log.push("another may begin"));
  await turn();
  assertEquals(log, ["down, 50", "half open", "down, 100", "half open"]);
  ends.resolve();
  await running;
  await turn();
  assertEquals(log.slice(4), ["closed", "another may begin"]);
  assertEquals([breaker.reason, clock.timers], [undefined, 0]);
});

Deno.test("handlers that began before decide nothing", async () => {
  const { clock, call, log, breaker } = scene({ failures: 1 });
  const before = Promise.withResolvers<void>();
  const running = breaker.judging(() => before.promise)();
  await call(DOWN);
  clock.pass(50);
  before.resolve();
  await running;
  assertEquals(log, ["down, 50", "half open"]);
});

Deno.test("an error that is no failure is as good as a success; a payload that cannot be read is neither", async () => {
  const asked: unknown[] = [];
  const { clock, call, log, breaker } = scene({
    failures: 1,
    isFailure(error) {
      asked.push(error);
      return error === DOWN;
    },
  });
  const wrong = new Error("wrong");
  const unreadable = new DecodeError("unreadable");
  await call(unreadable);
  await call(wrong);
  assertEquals(log, []);
  await call(DOWN);
  clock.pass(50);
  await call(unreadable);
  assertEquals([log.length, breaker.place()], [2, undefined]);
  await call(wrong);
  assertEquals(log.slice(2), ["closed"]);
  assertEquals(asked, [wrong, DOWN, wrong]);
});

Deno.test("an isFailure that throws is no proof that all is well, and the handler's error is the one that is told", async () => {
  const { breaker, log } = scene({
    failures: 1,
    isFailure() {
      throw new Error("oh");
    },
  });
  const failing = breaker.judging(() => Promise.reject(DOWN));
  await assertRejects(() => Promise.resolve(failing()), Error, "down");
  assertEquals(log, ["down, 50"]);
});

Deno.test("nothing waits for a breaker when no more messages come, and its timer ends with the run", async () => {
  const { breaker, call, end, clock, log } = scene({ failures: 1 });
  await call(DOWN);
  const waiting = breaker.place();
  end();
  await waiting;
  assertEquals(breaker.place(), undefined);
  breaker.end();
  assertEquals(clock.timers, 0);
  await call(DOWN);
  assertEquals([log, breaker.reason], [["down, 50"], undefined]);
});
