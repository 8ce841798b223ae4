import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { ReceivedMessage } from "../../../messaging/consume/message.ts";
import { ChannelError } from "../../../model/errors.ts";
import { withChannels } from "../../support/changed_channels.ts";

Deno.test("a failure that the broker is to count rejects where it refuses, and the message is ours still", async () => {
  const asked: unknown[] = [];
  const transport = withChannels((channel) => {
    channel.reject = (_, { requeue, failed }) => {
      asked.push([requeue, failed]);
      return Promise.reject(
        new ChannelError("busy", { code: "channel-closed" }),
      );
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  await connection.send(new Queue("q"), 1);
  const message = await connection.queue("q").get();
  assert(message instanceof ReceivedMessage);
  await assertRejects(
    () => message.failedHere(2, new Error("the handler's")),
    ChannelError,
    "busy",
  );
  assertEquals([asked, message.settled], [[[true, true]], false]);
});
