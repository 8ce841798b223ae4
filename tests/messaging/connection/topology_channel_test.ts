import { assertEquals, assertRejects } from "@std/assert";
import { ChannelError } from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { Limits } from "../../../async/limits.ts";
import { TopologyChannel } from "../../../messaging/connection/topology_channel.ts";
import type {
  Channel,
  CloseReason,
  TransportConnection,
} from "../../../transports/transport.ts";

Deno.test("a channel that a declaration has ended is not used again, though its end is not answered", async () => {
  const opened: Channel[] = [];
  const connection = {
    callsFailAlone: false,
    openChannel() {
      const { promise: closed } = Promise.withResolvers<CloseReason>();
      const channel = {
        closed,
        [Symbol.asyncDispose]: () => new Promise<void>(() => {}),
      } as unknown as Channel;
      opened.push(channel);
      return Promise.resolve(channel);
    },
  } as unknown as TransportConnection;
  const topology = new TopologyChannel(connection, new Limits(SYSTEM_CLOCK));
  const refusal = new ChannelError("inequivalent", {
    code: "precondition-failed",
  });
  const call = { signal: undefined, deadline: Infinity };
  await assertRejects(
    () => topology.run(call, () => Promise.reject(refusal)),
    ChannelError,
    "inequivalent",
  );
  const second = await topology.run(
    call,
    (channel) => Promise.resolve(channel),
  );
  assertEquals(opened.indexOf(second), 1);
});
