// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Exchange, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const media = new Exchange("media", { type: "topic" });
const video = new Queue<string>("video", {
  exchange: media,
  routingKey: "video.#",
});
await using connection = createConnection(url);
const producer = connection.producer({ exchange: media, declare: [video] });
await producer.publish("cat.avi", { routingKey: "video.upload" });
await producer.publish("cat.mp3", { routingKey: "audio.upload" });
await producer.publish("dog.avi", { routingKey: "video.upload" });

const consumer = connection.consumer(video);
await consumer.run(({ payload }) => {
  console.log(payload);
  if (payload === "dog.avi") void consumer.cancel();
});
