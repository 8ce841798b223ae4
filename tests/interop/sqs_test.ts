// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { BODY_CASES } from "./bodies.ts";
import { SQS } from "./meetings.ts";
import { providePython } from "./python.ts";
import { ROUTE_CASES } from "./routes.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  SQS,
  "url" in SQS.broker ? await providePython() : SQS.broker,
  [...ROUTE_CASES, ...BODY_CASES],
);
