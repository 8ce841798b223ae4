import { assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { Ripener } from "../../../transports/store/ripener.ts";
import type { MessageStore } from "../../../transports/store/mod.ts";
import { TestClock } from "../../../testing/clock.ts";

/** A ripener over a store that answers as it is told, and what the store was asked. */
function over(answer: () => Promise<number>) {
  const clock = new TestClock();
  const asked: (readonly [at: number, queues: readonly string[]])[] = [];
  const messages: Pick<MessageStore, "promoteDue"> = {
    promoteDue(queues) {
      asked.push([clock.now(), queues]);
      return answer();
    },
  };
  const ripener = new Ripener(messages, { clock, operationTimeout: 1000 });
  const pass = async (ms: number) => {
    for (let i = 0; i < ms; i += 10) {
      clock.pass(10);
      await turn();
    }
  };
  return { ripener, asked, pass };
}

Deno.test("the first put asks the store once, the others when their delay is over", async () => {
  const { ripener, asked, pass } = over(() => Promise.resolve(Infinity));
  ripener.notePut([{ queue: "a" }], 0);
  ripener.notePut([{ queue: "a" }], 0);
  await pass(50);
  assertEquals(asked.map(([, queues]) => queues), [[]]);
  ripener.notePut([{ queue: "b" }, { queue: "c" }], 500);
  ripener.notePut([{ queue: "d" }], 200);
  await pass(1000);
  assertEquals(asked.slice(1), [[250, ["b", "c", "d"]]]);
});

Deno.test("the store says when there is more to do; an error is tried again in a second", async () => {
  const answers = [300, new Error("busy"), Infinity];
  const { ripener, asked, pass } = over(() => {
    const next = answers.shift() ?? Infinity;
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  });
  ripener.notePut([{ queue: "a" }], 0);
  await pass(3000);
  const [first = 0] = asked.map(([at]) => at);
  // From its answer on, which comes 10 ms later.
  assertEquals(asked.map(([at]) => at - first), [0, 310, 1310]);
});

Deno.test("a ripener that is stopped asks no more, and a store that needs none is not asked", async () => {
  const { ripener, asked, pass } = over(() => Promise.resolve(100));
  ripener.notePut([{ queue: "a" }], 100);
  ripener.stop();
  ripener.notePut([{ queue: "a" }], 100);
  await pass(1000);
  assertEquals(asked, []);
  const clock = new TestClock();
  const idle = new Ripener({}, { clock, operationTimeout: 1000 });
  idle.notePut([{ queue: "a" }], 100);
  clock.pass(1000);
});

Deno.test("the message that is due first is asked for first, whatever is put behind it", async () => {
  const { ripener, asked, pass } = over(() => Promise.resolve(Infinity));
  ripener.notePut([{ queue: "a" }], 0);
  await pass(50);
  ripener.notePut([{ queue: "b" }], 200);
  ripener.notePut([{ queue: "c" }], 500);
  await pass(1000);
  assertEquals(asked.slice(1), [[250, ["b", "c"]]]);
});
