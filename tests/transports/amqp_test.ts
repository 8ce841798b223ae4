import { createTransport } from "../../transports/amqp/mod.ts";
import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { registerConformance } from "../support/register.ts";

await registerConformance("amqp", {
  transport: createTransport(),
  url: Deno.env.get("DASHI_TEST_AMQP_URL"),
  reason: Deno.env.get("DASHI_TEST_AMQP_REASON") ??
    "run it by deno task test, which provides RabbitMQ",
  startOwn: findRabbitmq() === undefined ? undefined : startRabbitmq,
});
