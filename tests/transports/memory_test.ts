import { createTransport } from "../../transports/memory/mod.ts";
import { registerConformance } from "../support/register.ts";

await registerConformance("memory", {
  transport: createTransport(),
  url: "memory://conformance",
});
