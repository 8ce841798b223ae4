/**
 * A broker for the tests of programs that use the library: in memory, with a clock that the
 * test moves, faults to order, and a list of all that was published. It needs no test runner,
 * and works with each.
 *
 * @example An answer in an hour
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { createTestBroker } from "@dashi/mq/testing";
 *
 * // The code under test connects by a URL of its configuration.
 * async function remind(url: string) {
 *   const connection = createConnection(url);
 *   await connection.declare(new Queue("reminders"));
 *   await connection.send("reminders", "Tea!", { delay: 3_600_000 });
 *   await connection.close();
 * }
 *
 * await using broker = createTestBroker();
 * await remind(broker.url);
 * const reminders = broker.connection.queue("reminders");
 * assertEquals(await reminders.get(), undefined);
 * await broker.clock.advance(3_600_000);
 * assertEquals((await reminders.get())?.payload, "Tea!");
 * ```
 *
 * @module
 */

export {
  createTestBroker,
  type IdleOptions,
  TestBroker,
  type TestBrokerOptions,
} from "./broker.ts";
export {
  type AdvanceOptions,
  TestClock,
  type TestClockOptions,
} from "./clock.ts";
export {
  type Fault,
  type FaultOptions,
  type Faults,
  type FaultVerb,
  type LoseOptions,
  type RefuseOptions,
} from "./faults.ts";
export type { PublishedMessage } from "./published.ts";
export type {
  Clock,
  Connection,
  ConnectionOptions,
  FieldTable,
  MessageProperties,
} from "../messaging/mod.ts";
