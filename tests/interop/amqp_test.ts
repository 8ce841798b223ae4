// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { BODY_CASES } from "./bodies.ts";
import { providePython } from "./python.ts";
import { ROUTE_CASES } from "./routes.ts";
import { registerInterop } from "./stage.ts";

const url = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";

registerInterop(
  {
    name: "amqp",
    broker: url === undefined ? { reason } : { url },
    highestFirst: true,
    lacks: { batch: "Kombu has no batches on AMQP" },
  },
  url === undefined ? { reason } : await providePython(),
  [...ROUTE_CASES, ...BODY_CASES],
);
