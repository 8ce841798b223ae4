/** NATS' client, by our verbs. */

import { assertRejects } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { NatsClient } from "../../../transports/nats/client.ts";
import { testOwn } from "./own.ts";

testOwn(
  "who waits until a call is made again waits no longer than the connection lives, and leaves no timer",
  async ({ url }) => {
    const { host, username, password } = new URL(url);
    const client = await NatsClient.open({
      server: host,
      username: username === "" ? undefined : username,
      password: password === "" ? undefined : password,
      tls: undefined,
      name: "waiting",
      timeout: 30_000,
      heartbeat: 0,
      maxResponseSize: 1_000_000,
      signal: new AbortController().signal,
      api: "$JS.API",
      domain: undefined,
      clock: SYSTEM_CLOCK,
    });
    await client.pause(1);
    const waiting = client.pause(3_600_000);
    client.destroy();
    await assertRejects(() => waiting, Error, "the connection has ended");
    await client.closed;
  },
);
