// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/sqs/mod.ts";
import { registerConformance, SLOW } from "../../support/register.ts";

const given = Deno.env.get("DASHI_TEST_SQS_URL");

await registerConformance("sqs", {
  transport: createTransport(),
  hasOwnClock: true,
  // Short waits, for fauxqs does not notice that nobody waits for its answer any more.
  slow: SLOW,
  url: given &&
    `${given}/?wait_time_seconds=1&get_wait_time_seconds=0${
      Deno.env.get("DASHI_TEST_SQS_OPTIONS") ?? ""
    }`,
  shortLease: { visibilityTimeout: 2000 },
  largestBody: 140 * 1024, // twice in base64, within 256 KiB
  unordered: "a standard queue of SQS keeps order and place as well as it can",
  reason: Deno.env.get("DASHI_TEST_SQS_REASON") ??
    "run it by deno task test, which provides a stand-in for SQS",
});
