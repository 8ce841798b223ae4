/** The context that the handler of a request has. */

import { assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue, RemoteError } from "@dashi/mq";
import type { Session } from "../../../messaging/connection/session.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import type { ServeContext } from "../../../messaging/reply/serve_options.ts";
import { Server, type ServerHost } from "../../../messaging/reply/serving.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("a context that is kept after its handler has ended sets no timer that nobody would stop", async () => {
  const clock = new TestClock();
  const host = {
    session: { clock } as Partial<Session> as Session,
    checked: (handler) => handler,
  } as Partial<ServerHost<unknown>> as ServerHost<unknown>;
  const contexts: ServeContext[] = [];
  const server = new Server(
    ({ payload }, context) => {
      contexts.push(context);
      if (payload !== "at once") return;
      assertEquals([context.signal.aborted, clock.timers], [false, 1]);
    },
    {},
    host,
  );
  const request = (payload: string) =>
    ({
      payload,
      properties: { headers: { "x-deadline": 1000 } },
      signal: new AbortController().signal,
    }) as Partial<ReceivedMessage<unknown>> as ReceivedMessage<unknown>;
  await server.handle(request("at once"));
  assertEquals(clock.timers, 0);
  await server.handle(request("late"));
  const signals = contexts.map(({ signal }) => signal);
  assertEquals([signals.length, clock.timers], [2, 0]);
  clock.pass(2000);
  assertEquals(signals.map(({ aborted }) => aborted), [false, false]);
});

Deno.test("an error of a handler that its requester is told is an event, and no line on the console", async () => {
  const unhandled: string[] = [];
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    onUnhandled: ({ type }) => unhandled.push(type),
  });
  const queue = new Queue("asked");
  await connection.declare(queue);
  const told: string[] = [];
  const consumer = connection.consumer(queue);
  const served = consumer.serve(() => {
    throw new Error("no answer to that");
  }, { onError: ({ message }) => void told.push(message) });
  await assertRejects(
    () => connection.request(1, { routingKey: queue.name }),
    RemoteError,
    "no answer to that",
  );
  await consumer.cancel();
  await served;
  assertEquals([told, unhandled], [["no answer to that"], []]);
});
