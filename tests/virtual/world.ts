import {
  type Binding,
  type ExchangeDeclaration,
  planBind,
  planDeclareExchange,
  planDeclareQueue,
  type QueueDeclaration,
  Topology,
  type TopologyChange,
} from "../../virtual/mod.ts";

/** Makes a declaration of a queue. */
export const queueOf = (
  name: string,
  options: Partial<QueueDeclaration> = {},
): QueueDeclaration => ({
  name,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: {},
  ...options,
});

/** Makes a declaration of an exchange. */
export const exchangeOf = (
  name: string,
  options: Partial<ExchangeDeclaration> = {},
): ExchangeDeclaration => ({
  name,
  type: "direct",
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: {},
  ...options,
});

/** Makes a binding of a queue. */
export const bindingOf = (
  source: string,
  name: string,
  routingKey = "",
  options: Partial<Binding> = {},
): Binding => ({
  source,
  destination: { kind: "queue", name },
  routingKey,
  arguments: {},
  ...options,
});

/** The owner. */
export const me: string = "me";

/** Tables with what the plans have made. */
export class World {
  readonly topology: Topology = new Topology();

  do(
    plan: (topology: Topology) => readonly TopologyChange[],
  ): readonly string[] {
    const changes = plan(this.topology);
    for (const change of changes) this.topology.apply(change);
    return changes.map(({ type }) => type);
  }

  queue(
    name: string,
    options?: Partial<QueueDeclaration>,
    owner: string = me,
  ): readonly string[] {
    return this.do((topology) =>
      planDeclareQueue(topology, queueOf(name, options), owner)
    );
  }

  exchange(
    name: string,
    options?: Partial<ExchangeDeclaration>,
  ): readonly string[] {
    return this.do((topology) =>
      planDeclareExchange(topology, exchangeOf(name, options))
    );
  }

  bind(...binding: Parameters<typeof bindingOf>): readonly string[] {
    return this.do((topology) => planBind(topology, bindingOf(...binding), me));
  }
}
