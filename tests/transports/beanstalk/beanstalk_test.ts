// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/beanstalk/mod.ts";
import { findBeanstalk, startBeanstalk } from "../../brokers/beanstalk.ts";
import { registerConformance } from "../../support/register.ts";

await registerConformance("beanstalk", {
  transport: createTransport(),
  hasOwnClock: true,
  url: Deno.env.get("DASHI_TEST_BEANSTALK_URL"),
  reason: Deno.env.get("DASHI_TEST_BEANSTALK_REASON") ??
    "run it by deno task test, which provides beanstalkd",
  startOwn: findBeanstalk() === undefined ? undefined : startBeanstalk,
});
