import {
  type Connection,
  type ConnectionEvent,
  DecodeError,
  type Message,
  type Middleware,
  type Queue,
} from "../../mod.ts";
import type { Harness } from "./harness.ts";
import { open, type Stage } from "./stage.ts";
import { appears, arrives, until } from "./support.ts";

/** Names the type that a body has that lies at the broker backwards. */
export const BACKWARDS = "x-backwards";

/**
 * Has bodies lie at the broker backwards, and reads them. It leaves alone what is backwards
 * already, and cannot read a body that is not.
 */
export const BACKWARD: Middleware = {
  publish({ headers, properties, body }, next) {
    if (BACKWARDS in headers) return next();
    const type = properties.contentType ?? "";
    return next({
      headers: { ...headers, [BACKWARDS]: type },
      properties: { ...properties, contentType: "application/x-backwards" },
      body: body.toReversed(),
    });
  },
  receive: async ({ headers, properties, body }) => {
    await Promise.resolve();
    const { [BACKWARDS]: contentType, ...rest } = headers;
    if (typeof contentType !== "string") {
      throw new DecodeError("Cannot read a body: it is not backwards");
    }
    return {
      headers: rest,
      properties: { ...properties, contentType },
      body: body.toReversed(),
    };
  },
};

/** Takes a message as it lies at the broker, and settles it. */
export async function lying(
  harness: Harness,
  queue: string,
): Promise<{ readonly text: string; readonly headers: object }> {
  const other = open(harness);
  try {
    const handle = other.queue(queue);
    const message = await appears(() => handle.get(), "a message");
    const text = new TextDecoder().decode(message.body);
    await message.ack();
    return { text, headers: message.headers };
  } finally {
    await other.close();
  }
}

/** The events of a type, from now on. */
export function heard(
  connection: Connection,
  type: ConnectionEvent["type"],
): ConnectionEvent[] {
  const events: ConnectionEvent[] = [];
  connection.use({
    event: (event) => void (event.type === type && events.push(event)),
  });
  return events;
}

/** Runs a handler until it has been called so often, or something else is so. */
export async function runs(
  { connection }: Pick<Stage, "connection">,
  queue: Queue,
  handler: (message: Message<unknown>) => void | Promise<void>,
  isOver: () => boolean,
): Promise<void> {
  const consumer = connection.consumer(queue);
  const running = consumer.run(handler, { retry: { attempts: 3, backoff: 0 } });
  await until(isOver, "the end of it");
  await consumer.cancel();
  await arrives(running, "the end of run()");
}
