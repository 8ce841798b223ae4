/** The client underneath a connection, where there is none, or another. */

import { assertRejects } from "@std/assert";
import { createConnection, UnsupportedError } from "@dashi/mq";
import type { NativeClient } from "../../../transports/transport.ts";
import { createTransport } from "../../../transports/memory/mod.ts";

const wanted: NativeClient<Date> = {
  name: "clock",
  is: (client) => client instanceof Date,
};

Deno.test("native() says whether there is no client, or another one", async () => {
  await using none = createConnection(`memory://${crypto.randomUUID()}`);
  await assertRejects(
    () => none.native(wanted),
    UnsupportedError,
    'Cannot hand out the client "clock": the transport "memory" has no client to hand out',
  );
  const memory = createTransport();
  await using other = createConnection(`memory://${crypto.randomUUID()}`, {
    transport: {
      ...memory,
      async connect(...args) {
        const connection = await memory.connect(...args);
        connection.native = () => "text";
        return connection;
      },
    },
  });
  await assertRejects(
    () => other.native(wanted),
    UnsupportedError,
    "has another one; import",
  );
});
