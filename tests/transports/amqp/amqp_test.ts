// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/amqp/mod.ts";
import { findRabbitmq, startRabbitmq } from "../../brokers/rabbitmq.ts";
import { registerConformance } from "../../support/register.ts";

async function startOwn() {
  const server = await startRabbitmq();
  return {
    url: server.url,
    restart: () => server.restart(),
    stop: () => server.stop(),
  };
}

await registerConformance("amqp", {
  transport: createTransport(),
  hasOwnClock: true,
  url: Deno.env.get("DASHI_TEST_AMQP_URL"),
  reason: Deno.env.get("DASHI_TEST_AMQP_REASON") ??
    "run it by deno task test, which provides RabbitMQ",
  startOwn: findRabbitmq() === undefined ? undefined : startOwn,
});
