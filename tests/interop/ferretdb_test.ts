// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { CASES } from "./cases.ts";
import { FERRETDB } from "./meetings.ts";
import { providePython } from "./python.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  FERRETDB,
  "url" in FERRETDB.broker ? await providePython() : FERRETDB.broker,
  CASES,
);
