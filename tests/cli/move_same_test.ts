import { assertEquals, assertMatch } from "@std/assert";
import { BROKERS, Pair } from "./moving.ts";

/** A broker by two of its names. */
const TWICE: Readonly<Record<string, string | undefined>> = {
  memory: "memory://move-same",
  Redis: BROKERS.Redis,
  RabbitMQ: BROKERS.RabbitMQ,
  beanstalkd: BROKERS.beanstalkd,
};

for (const [name, url] of Object.entries(TWICE)) {
  const other = url?.replace("127.0.0.1", "localhost");
  Deno.test({
    name:
      `dashi move does not move a queue of ${name} into itself by a second URL${
        url ? "" : " (there is no broker)"
      }`,
    ignore: !url,
    fn: async () => {
      await using pair = new Pair(url ?? "", other ?? "");
      await pair.open();
      await pair.fill(3);
      let end: (() => void) | undefined;
      const { code, out, err } = await pair.move([], {
        onInterrupt: (interrupt) => end = interrupt,
        onWritten: () => end?.(), // it would go on for ever
      });
      assertEquals([code, out], [2, ""]);
      assertMatch(err, /would be moved into itself.*--to NAME/);
      const { messageCount } = await pair.source.queueStatus(pair.name);
      assertEquals(messageCount, 3);
    },
  });
}
