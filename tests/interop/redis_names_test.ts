// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { ALL } from "../support/targets.ts";
import { CASES } from "./cases.ts";
import { REDIS_NAMES } from "./meetings.ts";
import { providePython } from "./python.ts";
import { registerInterop } from "./stage.ts";

registerInterop(
  REDIS_NAMES,
  "url" in REDIS_NAMES.broker ? await providePython() : REDIS_NAMES.broker,
  // The names are those of queues, of what is held, of bindings, and of channels.
  ALL
    ? CASES
    : CASES.filter(({ name }) => /to a queue|topic|fanout|held/.test(name)),
);
