// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/mongodb/mod.ts";
import { findMongodb, startMongodb } from "../../brokers/mongodb.ts";
import {
  EXCHANGING,
  registerConformance,
  SLOW,
} from "../../support/register.ts";

const subject = {
  transport: createTransport(),
  hasOwnClock: true,
  slow: SLOW,
  url: Deno.env.get("DASHI_TEST_MONGODB_URL"),
  shortLease: { visibilityTimeout: 2000 },
  reason: Deno.env.get("DASHI_TEST_MONGODB_REASON") ??
    "run it by deno task test, which provides MongoDB",
  startOwn: findMongodb() === undefined ? undefined : startMongodb,
};

await registerConformance("mongodb", subject);

// The whole suite holds; these are the cases that its other path can change: what passes
// exchanges, and the limits of calls.
await registerConformance("mongodb, fanout by broadcast", {
  ...subject,
  transportOptions: { fanout: "broadcast" },
  only: EXCHANGING,
});
