/** The suite asks the same of both AMQP clients. */

import { assertEquals } from "@std/assert";
import { createConnection } from "@dashi/mq";
import { CONFORMANCE_CASES, whyNot } from "../../conformance/mod.ts";
import { CLIENTS } from "../../support/amqp.ts";

const given = Deno.env.get("DASHI_TEST_AMQP_URL");

Deno.test({
  name: `amqp, amqp_client: the suite asks the same of both${
    given === undefined ? " (there is no broker)" : ""
  }`,
  ignore: given === undefined,
  fn: async () => {
    const asked = await Promise.all(CLIENTS.map(async (client) => {
      const { transport, url } = client;
      await using connection = createConnection(url);
      await connection.connect();
      const { capabilities } = connection;
      const harness = {
        transport,
        url,
        restart: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      return {
        capabilities: [...capabilities].sort(),
        lacks: CONFORMANCE_CASES.map((each) =>
          whyNot(each, harness, capabilities)
        ),
      };
    }));
    const [first, second] = asked;
    assertEquals(second, first);
  },
});
