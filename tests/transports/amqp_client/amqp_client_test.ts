// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/amqp_client/mod.ts";
import { findRabbitmq, startRabbitmq } from "../../brokers/rabbitmq.ts";
import { registerConformance } from "../../support/register.ts";

await registerConformance("amqp_client", {
  transport: createTransport(),
  hasOwnClock: true,
  url: Deno.env.get("DASHI_TEST_AMQP_URL"),
  reason: Deno.env.get("DASHI_TEST_AMQP_REASON") ??
    "run it by deno task test, which provides RabbitMQ",
  // Recovery from a restart is in the protocol's code, which both clients share.
  slow: /^on a server that restarts$/,
  startOwn: findRabbitmq() === undefined ? undefined : startRabbitmq,
});
