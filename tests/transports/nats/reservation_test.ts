import { assert, assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { createTransport } from "../../../transports/nats/mod.ts";
import { soon } from "../../conformance/support.ts";
import { withStore } from "../../conformance/on_store.ts";
import { testOwn as test } from "./own.ts";
import { parseHeaders } from "../../../transports/nats/headers.ts";
import { NatsReservation } from "../../../transports/nats/reservation.ts";

Deno.test("NATS: a message that lives for no time is over, though our estimate of the server's time is behind", () => {
  const putAt = 1_800_000_000_000;
  const take = (ttl: number, now: number) => {
    const { expired, timeLeft } = new NatsReservation(
      {
        name: "q",
        stream: "dashi_q",
        ready: "dashi.q",
        delayed: "dashi.q.delayed",
        quarantine: "dashi.q.quarantine",
        mark: "dashi-1",
        consumer: "dashi-1",
      },
      {
        subject: "dashi.q",
        reply: `$JS.ACK.dashi_q.dashi-1.1.1.1.${putAt}000000.0`,
        data: new Uint8Array(),
        headers: parseHeaders(
          new TextEncoder().encode(`NATS/1.0\r\nDashi-TTL: ${ttl}\r\n\r\n`),
        ),
      },
      { now, until: 0 },
    );
    return { expired, timeLeft };
  };
  assertEquals(take(0, putAt - 3), { expired: true, timeLeft: 0 });
  assertEquals(take(5, putAt - 3), { expired: false, timeLeft: 5 });
  assertEquals(take(5, putAt + 3), { expired: false, timeLeft: 2 });
  assertEquals(take(5, putAt + 5), { expired: true, timeLeft: 0 });
});

test("a message that has been on its way for a while is nobody's before the server hands it to another", async (own) => {
  const lease = 8000;
  const harness = {
    transport: createTransport(),
    url: own.url,
    transportOptions: { ackWait: lease },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  await withStore(harness, async (store, broker) => {
    const queue = await broker.queue();
    await broker.put(queue, "one");
    const wanted = [{ queue, limit: 1 }];
    const { reservations: [held] } = await store.messages.reserve(
      wanted,
      { ...soon(), wait: 5000 },
    );
    assert(held instanceof NatsReservation);
    // The server counts from when it sent it: an eighth is left to the way.
    assert(held.until <= SYSTEM_CLOCK.now() + lease * 7 / 8);
    await store.messages.remove([held], soon());
  });
});
