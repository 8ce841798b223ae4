// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** One side asks, the other answers: with a value, or with an error. */

import process from "node:process";
import { createConnection, Queue, RemoteError } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const prices = new Queue<{ article: string }>("prices");
await connection.declare(prices);

// The side that answers, in a process of its own as a rule:
const server = connection.consumer(prices);
const serving = server.serve(({ payload }) => {
  if (payload.article !== "cap") throw new RangeError("no such article");
  return { euros: 12 };
});

// The side that asks:
const to = { routingKey: prices.name, timeout: 30_000 };
const answer = await connection.request<{ euros: number }>(
  { article: "cap" },
  to,
);
console.log("a cap:", answer.euros, "euros");
try {
  await connection.request({ article: "yacht" }, to);
} catch (error) {
  if (!(error instanceof RemoteError)) throw error;
  console.log("a yacht:", error.remoteName, error.message);
}

await server.cancel();
await serving;
await connection.close();
