/** Tests of the AMQP transports' own, on the broker that the runner provides. */

import { createConnection } from "@dashi/mq";
import { createTransport as createAmqp } from "../../transports/amqp/mod.ts";
import { createTransport as createSecond } from "../../transports/amqp_client/mod.ts";
import type { Transport } from "../../transports/transport.ts";
import { arrives } from "../conformance/support.ts";
import { assertNothingLeft, resources } from "./leaks.ts";

const given = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";

/** How long a test may take that waits for what does not come, ms. */
const MAX_TIME = 60_000;

/** One of the AMQP transports. */
export interface Client {
  readonly name: string;
  /** The scheme that chooses it, and the one with TLS if it has one. */
  readonly scheme: string;
  readonly transport: Transport;
  /** The URL of the runner's broker, with all that it may have left out. */
  readonly url: string;
}

/** Both clients: what one promises, the other does. */
export const CLIENTS: readonly Client[] = [
  { name: "amqp", scheme: "amqp", transport: createAmqp() },
  { name: "amqp_client", scheme: "amqp-client", transport: createSecond() },
].map((client) => ({ ...client, url: urlFor(client, given ?? "amqp://") }));

/** A broker's URL that chooses a client. */
export function urlFor({ scheme }: { scheme: string }, url: string): string {
  return createConnection(url.replace(/^\w+:/, `${scheme}:`)).asUri({
    includePassword: true,
  });
}

/** Registers a test of both clients that needs RabbitMQ, and leaves nothing open. */
export function test(
  name: string,
  run: (client: Client) => Promise<void>,
): void {
  for (const client of CLIENTS) testOne(client, name, run);
}

/** Registers a test of one of them. */
export function testOne(
  client: Client,
  name: string,
  run: (client: Client) => Promise<void>,
): void {
  Deno.test({
    name: `${client.name}: ${name}${given === undefined ? ` (${reason})` : ""}`,
    ignore: given === undefined,
    fn: async () => {
      const before = resources();
      await arrives(run(client), "the end of the test", MAX_TIME);
      await assertNothingLeft(before);
    },
  });
}
