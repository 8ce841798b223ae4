import { assert, assertEquals } from "@std/assert";
import type { Clock } from "../../../async/clock.ts";
import { Deadlines } from "../../../async/deadlines.ts";
import { LoopWatch } from "../../../messaging/connection/loop_watch.ts";
import type { ConnectionEvent } from "../../../messaging/connection/connection_state.ts";
import { AuthenticationError, ConnectionError } from "../../../model/errors.ts";

/** A process whose timers fire when it has time, and not before. */
class BusyProcess implements Clock {
  #now = 0;
  readonly #timers = new Map<() => void, number>();

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now;
  }

  timer(callback: () => void, delay: number): () => void {
    this.#timers.set(callback, this.#now + delay);
    return () => this.#timers.delete(callback);
  }

  /** Time passes, in which it does something else. */
  block(duration: number): void {
    this.#now += duration;
  }

  /** A timer that is due fires, late as it may be. */
  turn(duration = 0): void {
    this.#now += duration;
    for (const [callback, at] of [...this.#timers]) {
      if (at > this.#now) continue;
      this.#timers.delete(callback);
      callback();
    }
  }

  get timers(): number {
    return this.#timers.size;
  }
}

function lost(): ConnectionError {
  return new ConnectionError("Connection was lost", {
    code: "connection-lost",
    outcome: "unknown",
  });
}

function watching() {
  const process = new BusyProcess();
  const events: ConnectionEvent[] = [];
  const watch = new LoopWatch({
    clock: process,
    endpoint: { heartbeat: 1000 },
    emit: (event) => events.push(event),
  });
  return { process, events, watch };
}

Deno.test("LoopWatch tells of an event loop that was blocked for longer than a heartbeat", () => {
  const { process, events, watch } = watching();
  watch.begin();
  for (let i = 0; i < 8; i++) process.turn(250);
  process.block(900);
  process.turn();
  assertEquals([events, watch.blocked], [[], undefined]);
  process.block(6000);
  assertEquals(watch.blocked, 5750);
  process.turn();
  assertEquals(events, [{ type: "event-loop-blocked", duration: 5750 }]);
  process.turn(250);
  assertEquals([events.length, watch.blocked], [1, 5750]);
  for (let i = 0; i < 8; i++) process.turn(250);
  assertEquals(watch.blocked, undefined);
  watch.end();
  assertEquals(process.timers, 0);
});

Deno.test("LoopWatch explains what was lost for that, before its own timer has fired and a moment after", () => {
  const { process, watch } = watching();
  const explained = () => watch.explain(lost()).message;
  assertEquals(explained(), "Connection was lost");
  watch.begin();
  process.turn(250);
  assertEquals(explained(), "Connection was lost");
  process.block(6250);
  const words = "Connection was lost; the event loop of this process was " +
    "blocked for 6.0 s";
  assert(explained().startsWith(words), explained());
  process.turn();
  for (let i = 0; i < 8; i++) process.turn(250);
  assert(explained().startsWith(words), explained());
  const error = watch.explain(lost());
  assert(error instanceof ConnectionError);
  assertEquals([error.code, error.outcome, error.retryable], [
    "connection-lost",
    "unknown",
    true,
  ]);
  const refused = new AuthenticationError("refused");
  assertEquals(watch.explain(refused), refused);
  process.turn(250);
  assertEquals(explained(), "Connection was lost");
  watch.end();
});

Deno.test("Deadlines that passed while the process was busy wait until it has read what came", () => {
  const process = new BusyProcess();
  const deadlines = new Deadlines(process);
  const missed: string[] = [];
  const answered = deadlines.add(50, () => missed.push("answered"));
  deadlines.add(50, () => missed.push("not answered"));
  process.block(5000);
  process.turn();
  assertEquals(missed, []);
  answered.cancel();
  process.turn(20);
  assertEquals(missed, ["not answered"]);
  // However busy it stays, each waits once.
  deadlines.add(5100, () => missed.push("late"));
  process.block(1000);
  process.turn();
  process.block(1000);
  process.turn();
  assertEquals(missed, ["not answered", "late"]);
  deadlines.end();
});
