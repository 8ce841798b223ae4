// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/redis/mod.ts";
import { registerConformance } from "../../support/register.ts";

/** Cases that depend on where the keys are, and on how many scripts a call is. */
const IN_SLOTS =
  /fanout|exchange|letter|ordered|delay|expire|x-expires|dedupe|twice|duplicate|park|quarantine|delete|declare|lock|full|limit|rate|requeue|purge|count|queues|connections/;

/** Cases that use each script: all keys are in the slot that their prefix names. */
const SCRIPTS =
  /^(an expired|a full queue|a fanout exchange|an ordered queue|reschedule|several messages in quarantine|rateLimit with|a queue with x-expires|a requeued|inspect\(\)|a message that is published once|messages of an ordered)/;

const subject = {
  transport: createTransport(),
  hasOwnClock: true,
  url: Deno.env.get("DASHI_TEST_REDIS_CLUSTER_URL"),
  shortLease: { visibilityTimeout: 2000 },
  reason: Deno.env.get("DASHI_TEST_REDIS_CLUSTER_REASON") ??
    "run it by deno task test, which provides a Redis Cluster",
  slow: /killed|schedule|answered|attempts|5,000|300/,
};

await registerConformance("redis cluster", { ...subject, only: IN_SLOTS });

await registerConformance("redis cluster, all keys in one slot", {
  ...subject,
  transportOptions: { globalKeyPrefix: "{one}." },
  only: SCRIPTS,
});

await registerConformance("redis cluster, fanout by PUB/SUB", {
  ...subject,
  transportOptions: { fanout: "pubsub" },
  only: /fanout|broadcast/,
});
