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
      await run();
      await assertNothingLeft(before);
    },
  });
}
