import { Exchange, Queue } from "@dashi/mq";

/** The queue of the killer's dead letters, and the queue that it comes from. */
export function graveOf(name: string): readonly [dead: Queue, from: Queue] {
  const exchange = new Exchange(name, { type: "direct" });
  return [
    new Queue(`${name}-dead`, { exchange, routingKey: "dead" }),
    new Queue(name, {
      deadLetterExchange: exchange,
      deadLetterRoutingKey: "dead",
    }),
  ];
}
