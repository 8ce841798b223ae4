// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/redis/mod.ts";
import { hasRedis, startRedis } from "../../brokers/redis.ts";
import { apart } from "../../support/apart.ts";
import { EXCHANGING, registerConformance } from "../../support/register.ts";

const url = Deno.env.get("DASHI_TEST_REDIS_URL");

const subject = {
  transport: createTransport(),
  hasOwnClock: true,
  url,
  shortLease: { visibilityTimeout: 2000 },
  shortLeaseUrl: url === undefined ? undefined : apart(url),
  reason: Deno.env.get("DASHI_TEST_REDIS_REASON") ??
    "run it by deno task test, which provides Redis",
  startOwn: hasRedis() ? startRedis : undefined,
};

await registerConformance("redis", subject);

// Kombu's own way, in which only what is about exchanges may differ.
await registerConformance("redis, fanout by PUB/SUB", {
  ...subject,
  transportOptions: { fanout: "pubsub" },
  only: EXCHANGING,
});
