/**
 * Publishes on a request: `POST /` with an order as JSON is answered by 202 when the broker
 * has the message, and by 503 where it has not. The broker is connected to by the first
 * request, and left when none has come for ten seconds: an instance that is frozen or
 * forgotten holds no connection.
 *
 * ```sh
 * BROKER_URL=pika://guest:guest@localhost:5672// deno serve \
 *   --allow-env=BROKER_URL --allow-net=localhost:5672 examples/deploy/publish.ts
 * ```
 *
 * @module
 */

import process from "node:process";
import { type Connection, createConnection, Queue } from "@dashi/mq";

const IDLE = 10_000; // ms; longer than a publish may take
const orders = new Queue<{ id: number }>("orders", {
  deadLetter: "orders.dead",
});

let connection: Connection | undefined;
let idle: ReturnType<typeof setTimeout> | undefined;

/** The connection, until it has not been asked for again for a while. */
function connected(): Connection {
  clearTimeout(idle);
  idle = setTimeout(() => {
    void connection?.close();
    connection = undefined;
  }, IDLE);
  return connection ??= createConnection(process.env["BROKER_URL"] ?? "");
}

/** Answers a request. */
async function fetch(request: Request): Promise<Response> {
  if (request.method !== "POST") return new Response(null, { status: 405 });
  const order = await request.json().catch(() => undefined);
  if (!Number.isInteger(order?.id)) return new Response(null, { status: 400 });
  try {
    await connected().send(orders, order, {
      messageId: `order-${order.id}`,
      timeout: 2000,
    });
    return new Response(null, { status: 202 });
  } catch {
    return new Response(null, { status: 503 });
  }
}

const server: { fetch(request: Request): Promise<Response> } = { fetch };
export default server;
