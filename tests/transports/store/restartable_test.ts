// deno-lint-ignore-file no-top-level-await -- the functions of a loop count as that
/** The suite for brokers that restart, on one in this process: all parts above the transports recover. */

import { CONFORMANCE_CASES, whyNot } from "../../conformance/mod.ts";
import { assertNothingLeft, resources } from "../../support/leaks.ts";
import { CAPABILITIES, restartable } from "../../support/restartable.ts";

for (const test of CONFORMANCE_CASES) {
  if (!test.restarts) continue;
  const { transport, restart } = restartable();
  const harness = {
    transport,
    url: "restartable://",
    restart,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const why = whyNot(test, harness, CAPABILITIES);
  Deno.test({
    name: `a store that restarts: ${test.name}${
      why === undefined ? "" : ` (${why})`
    }`,
    ignore: why !== undefined,
    async fn() {
      const before = resources();
      await test.run(harness);
      await assertNothingLeft(before);
    },
  });
}
