// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/redis/mod.ts";
import { registerConformance } from "../../support/register.ts";

/** Cases that use each script: all keys are in the slot that their prefix names. */
const SCRIPTS =
  /^(an expired|a full queue|a fanout exchange|an ordered queue|reschedule|several messages in quarantine|rateLimit with|a queue with x-expires|a requeued|inspect\(\)|a message that is published once|messages of an ordered)/;

await registerConformance("redis cluster, all keys in one slot", {
  transport: createTransport(),
  url: Deno.env.get("DASHI_TEST_REDIS_CLUSTER_URL"),
  transportOptions: { globalKeyPrefix: "{one}." },
  shortLease: { visibilityTimeout: 2000 },
  reason: Deno.env.get("DASHI_TEST_REDIS_CLUSTER_REASON") ??
    "run it by deno task test, which provides a Redis Cluster",
  only: SCRIPTS,
  slow: /killed|schedule|answered|attempts|5,000|300/,
});
