import { assert, assertEquals } from "@std/assert";
import { createConnection } from "@dashi/mq";

Deno.test("nats: a token in a URL is shown by no error, and nowhere else", async () => {
  const token = "s3cr3t-token";
  await using connection = createConnection(`nats://${token}@127.0.0.1:1`, {
    reconnect: false,
    onUnhandled: () => {},
  });
  const error = await connection.connect().catch((each) => each);
  assertEquals(error.code, "connection-failed");
  for (
    const shown of [
      connection.asUri(),
      connection.info(),
      connection.health(),
      connection,
      error,
    ]
  ) assert(!Deno.inspect(shown, { depth: 9 }).includes(token));
  assert(connection.asUri({ includePassword: true }).includes(token));
  assertEquals(connection.asUri(), "nats://**@127.0.0.1:1/dashi");
});
