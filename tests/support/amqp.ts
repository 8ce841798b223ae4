/** Tests of the AMQP transport's own, on the broker that the runner provides. */

import { createConnection } from "@dashi/mq";
import { assertNothingLeft, resources } from "./leaks.ts";

const given = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";

/** The broker's URL, with all that it may have left out. */
export const url: string = createConnection(given ?? "amqp://").asUri({
  includePassword: true,
});

/** Registers a test that needs RabbitMQ, and leaves nothing open. */
export function test(name: string, run: () => Promise<void>): void {
  Deno.test({
    name: `amqp: ${name}${given === undefined ? ` (${reason})` : ""}`,
    ignore: given === undefined,
    fn: async () => {
      const before = resources();
      await inTime(run());
      await assertNothingLeft(before);
    },
  });
}

/** Fails a test that waits for what does not come, where it would wait for ever. */
async function inTime(running: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("it took a minute")), 60_000);
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
