import assert from "node:assert/strict";
import type { FieldTable, FieldValue } from "../../transports/transport.ts";
import type { Broker } from "./broker.ts";

/** A queue that dead-letters into another, which is returned with it. */
export async function withDeadLetters(
  broker: Broker,
  arguments_: FieldTable = {},
): Promise<
  { readonly queue: string; readonly dead: string; exchange: string }
> {
  const exchange = await broker.exchange("direct");
  const dead = await broker.queue();
  await broker.bind(dead, exchange, "dead");
  const queue = await broker.queue({
    arguments: {
      "x-dead-letter-exchange": exchange,
      "x-dead-letter-routing-key": "dead",
      ...arguments_,
    },
  });
  return { queue, dead, exchange };
}

/** The newest death that headers tell of. */
export function deathOf(headers: FieldTable | undefined): FieldTable {
  const deaths: FieldValue | undefined = headers?.["x-death"];
  assert.ok(Array.isArray(deaths));
  const [death] = deaths;
  assert.ok(typeof death === "object" && death !== null);
  return death;
}
