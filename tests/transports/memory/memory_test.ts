// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/memory/mod.ts";
import { registerConformance } from "../../support/register.ts";

await registerConformance("memory", {
  transport: createTransport(),
  hasOwnClock: true,
  url: "memory://conformance",
});
