/** A RabbitMQ with its management API, whose numbers are fresh. */

import { freePort } from "../brokers/ports.ts";
import { type Rabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";

/** The server, and where its API is. */
export interface ManagedRabbitmq {
  readonly server: Rabbitmq;
  readonly managementUrl: string;
}

/** Starts one. */
export async function startManagedRabbitmq(): Promise<ManagedRabbitmq> {
  const port = freePort();
  const server = await startRabbitmq({
    plugins: ["rabbitmq_management"],
    config: [
      "management.tcp.ip = 127.0.0.1",
      `management.tcp.port = ${port}`,
      // Five seconds otherwise.
      "collect_statistics_interval = 100",
      ...["global.minute", "basic.minute", "detailed.10"].map((each) =>
        `management.sample_retention_policies.${each} = 1`
      ),
      "loopback_users = none",
    ].join("\n"),
  });
  return { server, managementUrl: `http://127.0.0.1:${port}/` };
}
