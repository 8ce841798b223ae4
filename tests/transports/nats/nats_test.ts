// deno-lint-ignore-file no-top-level-await -- what the server can do must be known before its cases are named
import { createTransport } from "../../../transports/nats/mod.ts";
import { isInstalled, startNats } from "../../brokers/nats.ts";
import { registerConformance, SLOW } from "../../support/register.ts";

await registerConformance("nats", {
  transport: createTransport(),
  hasOwnClock: true,
  slow: SLOW,
  url: Deno.env.get("DASHI_TEST_NATS_URL"),
  shortLease: { ackWait: 2000 },
  reason: Deno.env.get("DASHI_TEST_NATS_REASON") ??
    "run it by deno task test, which provides NATS",
  startOwn: isInstalled() ? () => startNats({ syncs: false }) : undefined,
});
