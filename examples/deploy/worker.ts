/**
 * A Worker of Cloudflare that publishes on a request. A socket belongs to the request that
 * opened it, so each request has a connection of its own.
 *
 * The variable `BROKER_URL` may be `wss://` for a relay before RabbitMQ, `pika://` or
 * `redis://`. docs/deploy.md says how it is bundled.
 *
 * @module
 */

import { createConnection, Queue } from "@dashi/mq";

const orders = new Queue<{ id: number }>("orders");

/** Answers a request. */
async function fetch(
  request: Request,
  env: { readonly BROKER_URL: string },
): Promise<Response> {
  if (request.method !== "POST") return new Response(null, { status: 405 });
  const order = await request.json().catch(() => undefined);
  if (!Number.isInteger(order?.id)) return new Response(null, { status: 400 });
  const connection = createConnection(env.BROKER_URL, { reconnect: false });
  try {
    await connection.send(orders, order, {
      messageId: `order-${order.id}`,
      timeout: 5000,
    });
    return new Response(null, { status: 202 });
  } catch {
    return new Response(null, { status: 503 });
  } finally {
    await connection.close();
  }
}

const worker: { fetch: typeof fetch } = { fetch };
export default worker;
