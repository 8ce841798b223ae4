/** Queues that a command has for itself, and what is left of them where it was killed. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { ownQueue } from "../../cli/own_queues.ts";
import { AwsRelay, refusal } from "../support/aws_relay.ts";
import { BROKERS, dashiHere, Pair } from "./moving.ts";

for (const [name, url] of Object.entries(BROKERS)) {
  Deno.test({
    name:
      `a queue of the command line's own goes by itself if its process is killed, or is told of, on ${name}${
        url ? "" : " (there is no broker)"
      }`,
    ignore: !url,
    fn: async () => {
      await using connection = createConnection(url ?? "");
      await connection.connect();
      const queue = ownQueue(connection, "move", 60_000);
      if (connection.capabilities.has("queue-ttl")) {
        assertEquals(queue.arguments["x-expires"], 60_000);
        return;
      }
      await connection.send(queue, "as the killed one has left it");
      try {
        const told = `${queue.name}.*dashi delete .*${queue.name}.* --yes`;
        const { code, rows, err } = await dashiHere(["doctor"], {
          from: url ?? "",
        });
        assertEquals([code, rows.length], [0, 1]);
        assertMatch(err, new RegExp(told));
        const other = (url ?? "").replace("127.0.0.1", "localhost");
        await using pair = new Pair(url ?? "", other);
        await pair.open();
        await pair.fill(1);
        const moved = await pair.move();
        assertEquals(moved.code, 2); // into itself
        assertMatch(moved.err, new RegExp(told));
      } finally {
        await connection.delete(queue.name);
      }
    },
  });
}

const sqs = BROKERS.SQS;
Deno.test({
  name:
    `dashi move ends where it cannot find out that both URLs lead to one broker${
      sqs ? "" : " (there is no broker)"
    }`,
  ignore: !sqs,
  fn: async () => {
    await using relay = new AwsRelay(sqs ?? "");
    relay.intercept = ({ action }) =>
      action === "CreateQueue" ? refusal(403, "AccessDenied") : undefined;
    await using pair = new Pair(sqs ?? "", relay.urlOf());
    await pair.open(new Queue(pair.name));
    await pair.fill(3);
    const { code, rows, err } = await pair.move(["--topology", "none"]);
    assertEquals([code, rows.at(-1)?.moved], [0, 3], err);
    assertMatch(err, /both URLs .* cannot be found out/);
    assert(relay.of("CreateQueue").length > 0);
    const { messageCount } = await pair.source.queueStatus(pair.name);
    assertEquals(messageCount, 3);
  },
});
