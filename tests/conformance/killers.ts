import assert from "node:assert/strict";
import type { RetryOptions } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import type { Harness } from "./harness.ts";
import { onStage, open, type Stage } from "./stage.ts";
import { arrives, inTime } from "./support.ts";

/** Handlers that end their process, as far as a broker can see it: they never end, and their connection does. */
export const KILLERS: readonly ConformanceCase[] = [
  killer(
    "a handler that never ends uses up `attempts`, and what was fetched beside it keeps its own",
    { attempts: 3, retry: { attempts: 3, backoff: 0 } },
  ),
  killer(
    "without a policy a handler that never ends uses up the five attempts, and what was fetched beside it keeps its own",
    { attempts: 5, retry: undefined },
  ),
];

/** In which a process gives back what it holds, ms: the rest would come after its lease. */
const DRAIN_TIMEOUTS = [500, 4000];

/** How a handler is run that ends its process. */
interface Killer {
  readonly attempts: number;
  readonly retry: RetryOptions | undefined;
}

function killer(name: string, options: Killer): ConformanceCase {
  return onStage(
    name,
    (stage, harness) =>
      inTime(
        DRAIN_TIMEOUTS,
        (time) => useUp(stage, harness, { ...options, drainTimeout: time }),
      ),
    { needs: ["dead-letter"] },
  );
}

/** Lets a handler end one process after the other, until its message is dead. */
async function useUp(
  { connection, ...stage }: Stage,
  harness: Harness,
  { attempts, retry, drainTimeout }: Killer & { readonly drainTimeout: number },
): Promise<void> {
  const exchange = stage.exchange({ type: "direct" });
  const dead = stage.queue({ exchange, routingKey: "dead" });
  const queue = stage.queue({
    deadLetterExchange: exchange,
    deadLetterRoutingKey: "dead",
  });
  const producer = connection.producer<string>({
    routingKey: queue.name,
    declare: [dead, queue],
  });
  for (let i = 0; i < 12; i++) {
    await producer.publish(i === 4 ? "killer" : `innocent ${i}`);
  }
  const { promise: isDead, resolve: died } = Promise.withResolvers<number>();
  const burying = connection.consumer<string>(dead);
  const letters: string[] = [];
  const buried = burying.run(({ payload, attempt }) => {
    letters.push(payload);
    died(attempt);
  });
  let [calls, over] = [0, false];
  void isDead.then(() => over = true);
  const handled = new Map<string, unknown>();
  try {
    while (!over) {
      const process = open(harness);
      await process.declare([dead, queue]);
      const { promise: killed, resolve: kill } = Promise.withResolvers<void>();
      const { promise: done, resolve: finish } = Promise.withResolvers<void>();
      if (handled.size === 11) finish(); // the killer alone is left
      void process.consumer<string>(queue).run(
        async ({ payload, headers }) => {
          if (payload === "killer") {
            calls++;
            kill();
            await new Promise(() => {});
          }
          handled.set(payload, headers["x-attempts"]);
          if (handled.size === 11) finish();
        },
        { retry },
      );
      try {
        await arrives(
          Promise.race([killed, Promise.all([isDead, done])]),
          "a call, or the end",
        );
      } finally {
        await process.close({ drainTimeout });
      }
      assert.ok(calls <= attempts, `it was called ${calls} times`);
    }
    assert.equal(calls, attempts);
    assert.equal(await isDead, attempts, "as the dead letter tells");
    assert.deepEqual([...new Set(letters)], ["killer"]);
    assert.equal(handled.size, 11);
    // Their first attempt, however often they were fetched.
    assert.deepEqual([...new Set(handled.values())], [undefined]);
  } finally {
    await burying.cancel();
    await arrives(buried, "the end of the other consumer");
  }
}
