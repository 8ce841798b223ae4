import { assertEquals } from "@std/assert";
import { createConnection, Exchange, Queue } from "@dashi/mq";
import { WatchedBroker } from "../../../cli/ui/broker.ts";

Deno.test("a queue of delays is shown while something waits there, and has no bindings read again", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  const letters = new Exchange("letters");
  const [orders, delays] = ["orders", "dashi_delayed_3"];
  const queues = [
    new Queue(orders, { deadLetterExchange: letters }),
    new Queue(delays),
  ];
  for (const each of queues) await connection.declare(each);
  let reads = 0;
  const broker = new WatchedBroker({
    id: 0,
    now: Date.now,
    open() {
      const opened = createConnection(url);
      const inspect = opened.inspect.bind(opened);
      opened.inspect = () => {
        const inspector = inspect();
        const bindings = inspector.bindings.bind(inspector);
        inspector.bindings = (options) => {
          reads++;
          return bindings(options);
        };
        return inspector;
      };
      return opened;
    },
  });
  const look = async () => {
    const { gone } = await broker.look();
    return { shown: [...broker.rows].map(({ name }) => name), gone, reads };
  };
  try {
    assertEquals(await look(), { shown: [orders], gone: [], reads: 1 });
    await connection.send(delays, 1);
    assertEquals(await look(), { shown: [orders, delays], gone: [], reads: 1 });
    await connection.purge(delays);
    assertEquals(await look(), { shown: [orders], gone: [delays], reads: 1 });
    await connection.declare(new Queue("bills"));
    assertEquals(await look(), {
      shown: [orders, "bills"],
      gone: [],
      reads: 2,
    });
  } finally {
    await broker.close();
  }
});
