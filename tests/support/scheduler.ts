import type { ConnectionEvent } from "@dashi/mq";
import type { Clock } from "../../async/clock.ts";
import { createCodecRegistry } from "../../codec/mod.ts";
import { readEndpoints } from "../../messaging/connection/endpoint.ts";
import { Failover } from "../../messaging/connection/failover.ts";
import { Session } from "../../messaging/connection/session.ts";
import { SessionPublisher } from "../../messaging/publish/publisher.ts";
import { Requester } from "../../messaging/reply/requester.ts";
import { Scheduler } from "../../messaging/schedule/scheduler.ts";
import type { Transport } from "../../transports/transport.ts";

/** The schedules of a connection with a clock of its own. */
export interface OwnScheduler {
  readonly scheduler: Scheduler;
  readonly events: readonly ConnectionEvent[];
  /** How long the holder of a table was given to answer, ms. */
  readonly timeouts: readonly (number | undefined)[];
  close(): Promise<void>;
}

/** Makes one. */
export function schedulerOf(
  url: string,
  clock: Clock,
  transport?: Transport,
): OwnScheduler {
  const events: ConnectionEvent[] = [];
  const timeouts: (number | undefined)[] = [];
  const codecs = createCodecRegistry();
  const session = new Session({
    failover: new Failover(
      readEndpoints(url, { transport }),
      "round-robin",
      Math.random,
    ),
    reconnect: {},
    clock,
    random: Math.random,
    name: undefined,
    onUnhandled: (event) => events.push(event),
  });
  const publisher = new SessionPublisher(session);
  const decoding = { codecs, maxDecompressedSize: undefined };
  const requester = new Requester({ session, decoding, codecs, publisher });
  const scheduler = new Scheduler({
    session,
    decoding,
    codecs,
    publisher,
    counts: { published: 0, failures: 0 },
    ticks: publisher,
    request: (payload, options) => {
      timeouts.push(options.timeout);
      return requester.request(payload, options);
    },
  });
  const close = async () => {
    const deadline = clock.now() + 5000;
    await scheduler.close({ deadline });
    await requester.close({ deadline });
    await session.close(deadline);
  };
  return { scheduler, events, timeouts, close };
}
