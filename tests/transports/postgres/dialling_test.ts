import { assertEquals, assertRejects } from "@std/assert";
import { Socket } from "node:net";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { createTransport } from "../../../transports/postgres/mod.ts";
import { parseUrl } from "../../../url/mod.ts";

Deno.test("a connect() that fails leaves nothing behind of the connection that has not", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const serving = (async () => {
    const first = await listener.accept();
    const second = await listener.accept();
    first.close();
    // This one is for the client to close.
    while (await second.read(new Uint8Array(100)) !== null);
    second.close();
  })();
  let [opened, closed] = [0, 0];
  const { connect } = Socket.prototype;
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    opened++;
    this.on("close", () => closed++);
    return Reflect.apply(connect, this, args);
  };
  try {
    await assertRejects(() =>
      createTransport().connect(parseUrl(`postgres://u@127.0.0.1:${port}/d`), {
        clock: SYSTEM_CLOCK,
        owner: "test",
        name: undefined,
        signal: undefined,
        deadline: SYSTEM_CLOCK.now() + 20_000,
        tls: undefined,
        heartbeat: 0,
        operationTimeout: 20_000,
        maxResponseSize: 1_000_000,
        transportOptions: {},
        password: undefined,
      })
    );
    assertEquals([opened, closed], [2, 2]);
  } finally {
    Socket.prototype.connect = connect;
  }
  await serving;
});
