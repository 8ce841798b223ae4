// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
/** The suite on a broker of `@dashi/mq/testing`: where no fault is ordered it is a broker like any other. */

import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { OrderedFaults } from "../../testing/faults.ts";
import { TestTransport } from "../../testing/transport.ts";
import { registerConformance } from "../support/register.ts";

await registerConformance("a test's broker", {
  transport: new TestTransport(new OrderedFaults(), SYSTEM_CLOCK),
  url: "memory://test-conformance",
  only: /abort|deadline|dispos|closed|settle|requeue/,
});
