import type {
  ExchangeDeclaration,
  ExchangeType,
} from "../../transports/transport.ts";
import { type ConformanceCase, onBroker } from "./case.ts";
import { rejectsWith, soon, unique } from "./support.ts";

/** Types of exchanges that only plugins have. */
export const EXCHANGE_TYPES: readonly ConformanceCase[] = [
  onBroker(
    "declareExchange() of a plugin's type is unsupported, and says which types there are",
    async (broker) => {
      const name = unique("exchange");
      await rejectsWith(
        broker.channel.declareExchange(pluginsOf(name, "x-random"), soon()),
        "unsupported",
        name,
        "x-random",
        "direct, topic, fanout, headers",
      );
      await rejectsWith(
        broker.channel.checkExchange(name, soon()),
        "not-found",
      );
    },
    { lacks: ["exchange-types"] },
  ),
  onBroker(
    "declareExchange() of a type that no plugin has is unsupported",
    async (broker) => {
      const { channel } = await broker.openElsewhere();
      const name = unique("exchange");
      await rejectsWith(
        channel.declareExchange(pluginsOf(name, "x-dashi-unknown"), soon()),
        "unsupported",
        name,
        "x-dashi-unknown",
        "plugin",
      );
      // Another connection lives on.
      await rejectsWith(
        broker.channel.checkExchange(name, soon()),
        "not-found",
      );
    },
    { needs: ["exchange-types"] },
  ),
];

function pluginsOf(name: string, type: ExchangeType): ExchangeDeclaration {
  return {
    name,
    type,
    durable: false,
    autoDelete: false,
    internal: false,
    arguments: {},
  };
}
