import { assert, assertEquals } from "@std/assert";
import { isIP } from "node:net";
import { createConnection } from "@dashi/mq";

/** Brokers to each of which a connection has one socket of TCP, and how a URL names their client. */
const BROKERS = [
  ["AMQP", "amqp:"],
  ["AMQP", "pika:"],
  ["REDIS", "redis:"],
  ["POSTGRES", "postgres:"],
  ["NATS", "nats:"],
  ["BEANSTALK", "beanstalk:"],
] as const;

for (const [broker, scheme] of BROKERS) {
  const given = Deno.env.get(`DASHI_TEST_${broker}_URL`);
  const url = given?.replace(/^\w+:/, scheme);
  Deno.test({
    name: `a connection of ${scheme} knows its peer while it is open${
      url === undefined ? " (there is no broker)" : ""
    }`,
    ignore: url === undefined,
    fn: async () => {
      const connection = createConnection(url ?? "");
      assertEquals(connection.info().peer, undefined);
      await connection.connect();
      const { peer, port } = connection.info();
      assert(isIP(peer?.address ?? "") > 0, JSON.stringify(peer));
      assertEquals(peer?.port, port);
      await connection.close();
      assertEquals(connection.info().peer, undefined);
    },
  });
}

Deno.test("a connection to no server has no peer", async () => {
  await using connection = createConnection("memory://peer");
  await connection.connect();
  assertEquals(connection.info().peer, undefined);
});
