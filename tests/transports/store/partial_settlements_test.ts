/** Settlements of which the store has done a part, or all, when they fail. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ChannelError,
  SettlementError,
  TimeoutError,
} from "../../../model/errors.ts";
import type { CallOptions } from "../../../model/call_options.ts";
import type { Delivery } from "../../../model/message.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import type { Reservation } from "../../../transports/store/mod.ts";
import type { Channel } from "../../../transports/transport.ts";
import { TestClock } from "../../../testing/clock.ts";
import { message, open, QUEUE } from "../../support/stores.ts";

/** A store whose first settlement is done for so many of its messages, and then fails. */
async function stageOfPart(done: number, error: Error) {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  let left = 1;
  const opened = await open(
    ({ messages }) => {
      const failing = (verb: "remove" | "release") =>
      async (
        all: readonly Reservation[],
        options?: CallOptions,
      ): Promise<readonly Reservation[]> => {
        if (left-- <= 0) return await messages[verb](all, options);
        await messages[verb](all.slice(0, done), options);
        throw error;
      };
      return {
        messages: { remove: failing("remove"), release: failing("release") },
      };
    },
    clock,
    broker,
  );
  await opened.channel.declareQueue(QUEUE);
  return { ...opened, broker };
}

const NOT_SENT = new ChannelError("busy", {
  code: "channel-closed",
  outcome: "not-sent",
});

function settle(
  channel: Channel,
  verb: "ack" | "requeue",
  { deliveryTag }: Delivery,
): Promise<void> {
  return verb === "ack"
    ? channel.ack(deliveryTag)
    : channel.reject(deliveryTag, { requeue: true });
}

for (const verb of ["ack", "requeue"] as const) {
  Deno.test(`of two messages whose ${verb} fails together the one that the store has settled counts as settled when both are tried again`, async () => {
    const { channel, connection, broker } = await stageOfPart(1, NOT_SENT);
    for (let i = 0; i < 2; i++) await channel.publish(message("", "q"));
    const got = [await channel.get("q"), await channel.get("q")];
    const settleAll = () =>
      Promise.allSettled(got.map((each) => {
        assert(each !== undefined);
        return settle(channel, verb, each);
      }));
    const failed = await settleAll();
    assertEquals(failed.map(({ status }) => status), ["rejected", "rejected"]);
    const settled = await settleAll();
    assertEquals(
      settled.map((each) => each.status === "rejected" ? each.reason : "done"),
      ["done", "done"],
    );
    assertEquals(broker.queue("q")?.size, verb === "ack" ? 0 : 2);
    await connection[Symbol.asyncDispose]();
  });

  Deno.test(`${verb} whose answer was lost, and that the store has done, is done when it is tried again`, async () => {
    const late = new TimeoutError("no answer", { outcome: "unknown" });
    const { channel, connection, broker } = await stageOfPart(1, late);
    await channel.publish(message("", "q"));
    const got = await channel.get("q");
    assert(got !== undefined);
    const act = () => settle(channel, verb, got);
    await assertRejects(act, TimeoutError);
    await act();
    assertEquals(broker.queue("q")?.size, verb === "ack" ? 0 : 1);
    await connection[Symbol.asyncDispose]();
  });

  Deno.test(`${verb} that was surely not done tells that the message was lost meanwhile`, async () => {
    const { channel, connection } = await stageOfPart(1, NOT_SENT);
    await channel.publish(message("", "q"));
    const got = await channel.get("q");
    assert(got !== undefined);
    const act = () => settle(channel, verb, got);
    await assertRejects(act, ChannelError);
    const error = await assertRejects(act, SettlementError);
    assertEquals(error.code, "lease-lost");
    await connection[Symbol.asyncDispose]();
  });
}
