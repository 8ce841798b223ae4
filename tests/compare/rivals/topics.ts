import amqp from "npm:amqp-connection-manager@5.0.0";
import type { ConfirmChannel } from "npm:@types/amqplib@0.10";
import "npm:amqplib@2.3.1";

const [url = ""] = Deno.args;
const connection = amqp.connect([url]);
const channel = connection.createChannel({
  json: true,
  setup: async (channel: ConfirmChannel) => {
    await channel.assertExchange("media", "topic", { durable: true });
    await channel.assertQueue("video", { durable: true });
    await channel.bindQueue("video", "media", "video.#");
  },
});
await channel.publish("media", "video.upload", "cat.avi");
await channel.publish("media", "audio.upload", "cat.mp3");
await channel.publish("media", "video.upload", "dog.avi");

const done = Promise.withResolvers<void>();
await channel.consume("video", (message) => {
  const payload = JSON.parse(message.content.toString());
  console.log(payload);
  channel.ack(message);
  if (payload === "dog.avi") done.resolve();
});
await done.promise;
await channel.close();
await connection.close();
