// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { CASES } from "./cases.ts";
import { REDIS } from "./meetings.ts";
import { providePython } from "./python.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  REDIS,
  "url" in REDIS.broker ? await providePython() : REDIS.broker,
  CASES,
);
