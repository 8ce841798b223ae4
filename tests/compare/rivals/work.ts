// deno-lint-ignore-file no-console no-top-level-await -- a program
import { Buffer } from "node:buffer";
import { connect } from "npm:amqplib@2.3.1";

const [url = ""] = Deno.args;
const connection = await connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertQueue("jobs", { durable: true });
for (const id of [1, 2, 3]) {
  const body = Buffer.from(JSON.stringify({ id }));
  channel.sendToQueue("jobs", body, { persistent: true });
}
await channel.waitForConfirms();

const done = Promise.withResolvers<void>();
await channel.prefetch(10);
await channel.consume("jobs", (message) => {
  if (message === null) return done.reject(new Error("it was cancelled"));
  const { id } = JSON.parse(message.content.toString());
  console.log("done", id);
  channel.ack(message);
  if (id === 3) done.resolve();
});
await done.promise;
await channel.close();
await connection.close();
