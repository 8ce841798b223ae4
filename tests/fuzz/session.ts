/** A program that uses a broker whose answers are garbled, and then no more. */

import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { arrives, unique } from "../conformance/support.ts";
import type { Target } from "../support/targets.ts";
import { chanceOf, Garbler } from "./garbler.ts";

/** The limit of each call, ms; nothing may take longer than some of them. */
const LIMIT = 1500;
/** After this a call hangs, however busy the machine is, ms. */
const HANGS = 60_000;

/**
 * Runs one session, and says what went wrong with it: a call that did not end in time, an
 * error without a type, a connection that does not come back once
 * its broker is honest. Resolves to how often the broker's words were garbled.
 */
export async function fuzz(
  { name }: Target,
  broker: string,
  seed: number,
): Promise<number> {
  await using garbler = new Garbler(broker, chanceOf(seed));
  const connection = createConnection(garbler.urlOf(broker), {
    transport: name,
    // A busy machine dials slowly; what hangs is cut when the broker turns honest.
    connectTimeout: 20 * LIMIT,
    operationTimeout: LIMIT,
    heartbeat: 1000,
    maxResponseSize: 2 ** 20,
    reconnect: { initialDelay: 10, maxDelay: 100 },
  });
  const told = (what: string) =>
    `${name}, seed ${seed}, ${garbler.deeds.join(", ")}: ${what}`;
  const check = (what: string) => (error: unknown) => {
    if (error instanceof MessagingError) return;
    throw new Error(told(`${what} threw what is no MessagingError`), {
      cause: error,
    });
  };
  const bounded = <T>(what: string, call: Promise<T>) =>
    arrives(call, told(what), HANGS);
  const queue = new Queue(unique("fuzz"));
  const limits = () => ({ timeout: LIMIT });
  try {
    const producer = connection.producer();
    const consumer = connection.consumer(queue);
    const end = Promise.withResolvers<void>();
    const timer = setTimeout(end.resolve, LIMIT);
    const running = consumer.run((message) => {
      // A garbled message need not be readable.
      try {
        if (message.payload === 3) end.resolve();
      } catch (error) {
        check("reading")(error);
      }
    }).catch(check("run()"));
    for (const payload of [1, 2, 3]) {
      const published = producer.publish(payload, {
        routingKey: queue.name,
        declare: [queue],
        ...limits(),
      });
      await bounded("publish()", published.then(() => {}, check("publish()")));
    }
    const got = connection.declare(queue, limits()).then(
      () => {},
      check("declare()"),
    );
    await bounded("declare()", got);
    await bounded("the end of the wait", end.promise);
    clearTimeout(timer);
    garbler.beHonest();
    await bounded(
      "consumer.close()",
      consumer.close({ drainTimeout: LIMIT }).catch(check("close()")),
    );
    await bounded("run()", running);
    await bounded(
      "a publish to an honest broker",
      recovered(connection, queue),
    );
  } finally {
    await bounded("close()", connection.close({ drainTimeout: LIMIT }));
  }
  return garbler.deeds.length;
}

/** Publishes and gets, by the same connection, until both work. */
async function recovered(
  connection: ReturnType<typeof createConnection>,
  queue: Queue,
): Promise<void> {
  for (;;) {
    try {
      await connection.declare(queue, { timeout: 20 * LIMIT });
      await connection.producer().publish("honest", {
        routingKey: queue.name,
        timeout: 20 * LIMIT,
      });
      const channel = await connection.channel({ timeout: 20 * LIMIT });
      await channel.deleteQueue(queue.name);
      return;
    } catch (error) {
      // One more attempt: what was in flight when the broker turned honest fails yet.
      if (!(error instanceof MessagingError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
