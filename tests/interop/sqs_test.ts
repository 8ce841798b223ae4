// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { CASES } from "./cases.ts";
import { SQS } from "./meetings.ts";
import { providePython } from "./python.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  SQS,
  "url" in SQS.broker ? await providePython() : SQS.broker,
  CASES,
);
