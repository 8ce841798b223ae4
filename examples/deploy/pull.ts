/**
 * Consumes by pull: each `POST /`, of a scheduler, handles the messages that are there, for
 * as long as a request may take, and answers how many. No consumer, timer or connection is
 * left when it has answered. Those that fail go to the queue `orders.dead`.
 *
 * ```sh
 * BROKER_URL=pika://guest:guest@localhost:5672// deno serve \
 *   --allow-env=BROKER_URL --allow-net=localhost:5672 examples/deploy/pull.ts
 * ```
 *
 * @module
 */

import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const TIME = 20_000; // ms for one request
const orders = new Queue<{ id: number }>("orders", {
  deadLetter: "orders.dead",
});

/** Is called for each order. */
function handle(order: { readonly id: number }): Promise<void> {
  if (order.id < 0) throw new Error("there is no such order");
  return Promise.resolve();
}

/** Handles what is there; returns how many, and how many of them failed. */
async function pull(): Promise<{ handled: number; failed: number }> {
  const end = Date.now() + TIME;
  const counts = { handled: 0, failed: 0 };
  await using connection = createConnection(process.env["BROKER_URL"] ?? "");
  await connection.declare(orders);
  const queue = connection.queue(orders);
  while (Date.now() < end) {
    const messages = await queue.receive({ max: 50, wait: 500 });
    if (messages.length === 0) break;
    for (const message of messages) {
      if (Date.now() >= end) break; // the rest goes back
      try {
        await handle(message.payload);
        await message.ack();
        counts.handled++;
      } catch {
        await message.reject();
        counts.failed++;
      }
    }
  }
  return counts;
}

/** Answers a request. */
async function fetch(request: Request): Promise<Response> {
  if (request.method !== "POST") return new Response(null, { status: 405 });
  return Response.json(await pull());
}

const server: { fetch(request: Request): Promise<Response> } = { fetch };
export default server;
