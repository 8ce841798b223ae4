/**
 * For tests: time that passes when it is told to. It needs no test runner, and works with
 * each.
 *
 * @module
 */

export {
  type AdvanceOptions,
  TestClock,
  type TestClockOptions,
} from "./clock.ts";
