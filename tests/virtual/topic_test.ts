import { assertEquals } from "@std/assert";
import { matchTopic, route, Topology } from "../../virtual/mod.ts";
import golden from "../golden/topic_match.json" with { type: "json" };

interface Row {
  readonly binding_key: string;
  readonly matches: Readonly<Record<string, { readonly rabbitmq: boolean }>>;
}

const rows: readonly Row[] = golden.rows;

for (const { binding_key: pattern, matches } of rows) {
  Deno.test(`matchTopic() and route() match "${pattern}" as RabbitMQ does`, () => {
    const topology = new Topology();
    const queue = {
      name: "q",
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    };
    topology.apply({ type: "queue-declared", queue, owner: undefined });
    topology.apply({
      type: "bound",
      binding: {
        source: "amq.topic",
        destination: { kind: "queue", name: "q" },
        routingKey: pattern,
        arguments: {},
      },
    });
    for (const [routingKey, { rabbitmq }] of Object.entries(matches)) {
      assertEquals(matchTopic(pattern, routingKey), rabbitmq, routingKey);
      const message = { exchange: "amq.topic", routingKey, properties: {} };
      assertEquals(
        route(topology, message).queues.size > 0,
        rabbitmq,
        `route() of "${routingKey}"`,
      );
    }
  });
}
