// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/redis/mod.ts";
import { registerConformance } from "../../support/register.ts";

/** Cases that depend on where the keys are, and on how many scripts a call is. */
const IN_SLOTS =
  /fanout|exchange|letter|ordered|delay|expire|x-expires|dedupe|twice|duplicate|park|quarantine|delete|declare|lock|full|limit|rate|requeue|purge|count|queues|connections/;

await registerConformance("redis cluster", {
  transport: createTransport(),
  url: Deno.env.get("DASHI_TEST_REDIS_CLUSTER_URL"),
  shortLease: { visibilityTimeout: 2000 },
  reason: Deno.env.get("DASHI_TEST_REDIS_CLUSTER_REASON") ??
    "run it by deno task test, which provides a Redis Cluster",
  only: IN_SLOTS,
  slow: /killed|schedule|answered|attempts|5,000|300/,
});
