import { Connection } from "npm:rabbitmq-client@5.0.8";

const [url = ""] = Deno.args;
const rabbit = new Connection(url);
const server = rabbit.createConsumer({
  queue: "sums",
  queueOptions: { durable: true },
}, async ({ body }, reply) => {
  try {
    if (body.length === 0) throw new RangeError("nothing to add");
    const sum = body.reduce((sum: number, each: number) => sum + each);
    await reply({ sum });
  } catch (error) {
    const { name, message } = error as Error;
    await reply({ error: { name, message } });
  }
});
await new Promise((resolve) => server.once("ready", resolve));

const client = rabbit.createRPCClient({ confirm: true, timeout: 5000 });
const answer = await client.send("sums", [1, 2, 3]);
console.log(answer.body.sum);
const failed = await client.send("sums", []);
console.log(failed.body.error.name, failed.body.error.message);
await client.close();
await server.close();
await rabbit.close();
