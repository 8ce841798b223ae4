// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../transports/amqp/mod.ts";
import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { registerConformance } from "../support/register.ts";
import { ALL } from "../support/targets.ts";

/** Clients see the end of the application; `deno task faults` ends the process, for ten times the cost. */
async function startOwn() {
  const server = await startRabbitmq();
  return {
    url: server.url,
    restart: () => ALL ? server.restart() : server.restartApp(),
    stop: () => server.stop(),
  };
}

await registerConformance("amqp", {
  transport: createTransport(),
  url: Deno.env.get("DASHI_TEST_AMQP_URL"),
  reason: Deno.env.get("DASHI_TEST_AMQP_REASON") ??
    "run it by deno task test, which provides RabbitMQ",
  startOwn: findRabbitmq() === undefined ? undefined : startOwn,
});
