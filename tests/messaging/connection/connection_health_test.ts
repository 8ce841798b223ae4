import { assert, assertEquals } from "@std/assert";
import {
  connectionHealth,
  type ConnectionSigns,
  type ConsumerReport,
} from "../../../messaging/connection/connection_health.ts";
import { why } from "../../../messaging/connection/loop_watch.ts";
import { ConnectionError, createConnection, Queue } from "../../../mod.ts";

Deno.test("connection.health() tells what keeps a process from ending", async () => {
  const connection = createConnection(`memory://${crypto.randomUUID()}`);
  assertEquals(connection.health(), {
    healthy: true,
    live: true,
    ready: false,
    reason: "it is not connected: nothing needs it now",
    lastSuccess: undefined,
    state: { type: "idle" },
    consumers: [],
    inFlight: 0,
    requests: {
      waiting: 0,
      lateReplies: 0,
      undeliveredReplies: 0,
      expiredRequests: 0,
    },
    schedules: { taking: 0, held: 0, published: 0, failures: 0 },
    holds: [],
  });
  const queue = new Queue("jobs");
  const sending = connection.send(queue, 1);
  assertEquals(connection.health().inFlight, 1);
  await sending;
  const consumer = connection.consumer(queue);
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  const running = consumer.run(async () => {
    begin();
    await done;
  });
  await begun;
  const { healthy, consumers: [told], holds } = connection.health();
  assertEquals([healthy, told?.queues, told?.inFlight], [true, ["jobs"], 1]);
  assertEquals(holds.slice(1), [
    `a consumer of "jobs", with 1 message unsettled`,
  ]);
  assert(holds[0]?.startsWith(`the connection to "memory://`), holds[0]);
  finish();
  await consumer.cancel();
  await running;
  await connection.close();
  assertEquals(connection.health().holds, []);
});

Deno.test("connection.health() tells why it is not ready while it connects, waits, and has given up", async () => {
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const { promise: refused, reject: refuse } = Promise.withResolvers<never>();
  refused.catch(() => {});
  await using connection = createConnection("away://", {
    transport: {
      name: "away",
      connect() {
        reach();
        return refused;
      },
    },
    reconnect: { initialDelay: 60_000, maxDelay: 60_000 },
    onUnhandled: () => {},
  });
  const consumer = connection.consumer("jobs");
  const running = consumer.run(() => {});
  await reached;
  const told = () => {
    const { live, ready, healthy, lastSuccess, reason = "" } = connection
      .health();
    assertEquals([live, ready, lastSuccess], [true, false, undefined]);
    return { healthy, reason };
  };
  const { reason } = told();
  assert(/^it is connecting to "away:[^"]*"$/.test(reason), reason);
  const waits = (async () => {
    for await (const event of connection.events()) {
      if (event.type === "state" && event.state.type === "waiting") return;
    }
  })();
  refuse(
    new ConnectionError("nobody is there", { code: "connection-failed" }),
  );
  await waits;
  const waiting = told();
  assert(
    /^it is not connected, and waits \d+ ms before it tries again: nobody is there$/
      .test(waiting.reason),
    waiting.reason,
  );
  assertEquals(waiting.healthy, false);
  await consumer.close();
  await running;
  assertEquals(told(), {
    healthy: false,
    reason:
      "it is not connected, and tries with the next call: nobody is there",
  });
});

const WELL: ConnectionSigns = {
  state: { type: "open", url: "memory://", since: new Date(0) },
  isConnected: true,
  isClosing: false,
  problem: undefined,
  blocked: undefined,
  loopBlocked: undefined,
  connectedAt: 1000,
  consumers: [],
  inFlight: 0,
  requests: {
    waiting: 0,
    lateReplies: 0,
    undeliveredReplies: 0,
    expiredRequests: 0,
  },
  schedules: { taking: 0, held: 0, published: 0, failures: 0 },
};

const CONSUMER: ConsumerReport = {
  queues: ["jobs", "mails"],
  healthy: true,
  live: true,
  ready: true,
  lastSuccess: new Date(2000),
  ended: undefined,
  silence: 1,
  inFlight: 0,
  reason: undefined,
  duplicates: 0,
  lastError: undefined,
};

const rests = "its circuit breaker is open until tomorrow";
for (
  const [what, signs, expected] of [
    ["is well", {}, [true, true, true, undefined]],
    ["has lost its connection just now", {
      isConnected: false,
      problem: new Error("cut"),
    }, [true, false, false, "its connection was lost: cut"]],
    ["has a broker that takes no messages", { blocked: "low on memory" }, [
      true,
      false,
      true,
      "the broker takes no messages: low on memory",
    ]],
    ["is being closed", { isClosing: true }, [
      true,
      false,
      true,
      "it is being closed",
    ]],
    ["has a consumer that rests", {
      consumers: [CONSUMER, { ...CONSUMER, ready: false, reason: rests }],
    }, [true, false, true, `the consumer of "jobs", "mails": ${rests}`]],
    ["has one message of a consumer on trial", {
      consumers: [{ ...CONSUMER, reason: "one message is on trial" }],
    }, [true, true, true, undefined]],
    ["had its event loop blocked", { loopBlocked: 12_345 }, [
      false,
      false,
      true,
      why(12_345),
    ]],
    ["had its event loop blocked, and a consumer cancelled", {
      loopBlocked: 12_345,
      consumers: [{
        ...CONSUMER,
        healthy: false,
        ready: false,
        live: false,
        ended: "cancelled",
        reason: why(12_345),
      }],
    }, [false, false, true, why(12_345)]],
  ] as const
) {
  Deno.test(`the health of a connection that ${what}`, () => {
    const { live, ready, healthy, reason, lastSuccess } = connectionHealth({
      ...WELL,
      ...signs,
    });
    assertEquals([live, ready, healthy, reason], [...expected]);
    assertEquals(+(lastSuccess ?? 0), "consumers" in signs ? 2000 : 1000);
  });
}

Deno.test("a connection without consumers had its last success when it connected", async () => {
  const connection = createConnection(`memory://${crypto.randomUUID()}`);
  const before = Date.now();
  await connection.connect();
  const at = connection.health().lastSuccess?.getTime() ?? 0;
  assert(at >= before && at <= Date.now(), String(at));
  await connection.close();
  assertEquals(connection.health().lastSuccess?.getTime(), at);
});
