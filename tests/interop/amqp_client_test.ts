// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { BODY_CASES } from "./bodies.ts";
import { AMQP_CLIENT } from "./meetings.ts";
import { providePython } from "./python.ts";
import { ROUTE_CASES } from "./routes.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  AMQP_CLIENT,
  "url" in AMQP_CLIENT.broker ? await providePython() : AMQP_CLIENT.broker,
  [...ROUTE_CASES, ...BODY_CASES],
);
