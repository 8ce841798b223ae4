import { assertEquals, assertRejects } from "@std/assert";
import { dial as dialAmqplib } from "../../transports/amqp/client.ts";
import { dial as dialAmqpClient } from "../../transports/amqp_client/client.ts";
import type { DialOptions } from "../../transports/amqp_protocol/options.ts";
import { dial as dialPostgres } from "../../transports/postgres/client.ts";

const TIMEOUT = 10_000;
const HOST = "127.0.0.1";

function amqp(port: number): DialOptions {
  return {
    hostname: HOST,
    port,
    username: "guest",
    virtualHost: "/",
    tls: undefined,
    heartbeat: 0,
    frameMax: 0,
    channelMax: 0,
    loginMethod: "PLAIN",
    clientProperties: {},
    management: undefined,
    maxResponseSize: 1_000_000,
  };
}

type Dialling = (port: number, signal: AbortSignal) => Promise<unknown>;

const events = { closed() {} };

const CLIENTS: Readonly<Record<string, Dialling>> = {
  amqp: (port, signal) =>
    dialAmqplib(amqp(port), "guest", TIMEOUT, events, signal),
  amqp_client: (port, signal) =>
    dialAmqpClient(
      { ...amqp(port), webSocket: undefined },
      "guest",
      TIMEOUT,
      events,
      signal,
    ),
  postgres: (port, signal) =>
    dialPostgres({
      host: HOST,
      port,
      user: "u",
      password: "p",
      database: "d",
      tls: undefined,
      maxResponseSize: 2 ** 20,
      name: "n",
      timeout: TIMEOUT,
      patience: TIMEOUT,
      mostIdle: TIMEOUT,
      signal,
      onLost() {},
    }),
};

for (const [name, dial] of Object.entries(CLIENTS)) {
  Deno.test(`${name}: a dial whose signal is aborted before it opens no socket`, async () => {
    const listener = Deno.listen({ hostname: HOST, port: 0 });
    const { port } = listener.addr;
    const reason = new Error("mine");
    const dialling = dial(port, AbortSignal.abort(reason));
    const error = await assertRejects(() => dialling);
    // One that was dialled before stands before this one in the listener's line.
    const own = await Deno.connect({ hostname: HOST, port });
    const first = await listener.accept();
    const [given, expected] = [first.remoteAddr, own.localAddr];
    own.close();
    first.close();
    listener.close();
    assertEquals(given, expected);
    assertEquals(error, reason);
  });
}
