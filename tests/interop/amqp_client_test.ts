// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { CASES } from "./cases.ts";
import { AMQP_CLIENT } from "./meetings.ts";
import { providePython } from "./python.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  AMQP_CLIENT,
  "url" in AMQP_CLIENT.broker ? await providePython() : AMQP_CLIENT.broker,
  CASES,
);
