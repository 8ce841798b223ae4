import { isThenable } from "../../async/thenable.ts";
import { errorText } from "../../model/error_text.ts";
import { OptionError } from "../../model/errors.ts";
import { printable, quote } from "../../model/foreign_text.ts";
import { maskSecrets } from "../../model/secrets.ts";
import type { ConnectionEvent } from "../connection/connection_state.ts";
import type { Message } from "../consume/message_type.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { OutgoingMessage, Settlement } from "./hooks.ts";
import type { Middleware } from "./middleware.ts";

/** An error, as a line tells of it: without its stack, and with passwords masked. */
export interface LogError {
  /** The name of its class. */
  readonly name: string;
  /** At most 1024 characters, without control characters. */
  readonly message: string;
  /** Its code: those of this library are its `ErrorCode`s. */
  readonly code?: string | undefined;
}

/** What has happened, in one object; a part that does not apply is not there. No body, no payload and no header is in it. */
export interface LogLine {
  /** When, by the calendar, in ISO 8601. */
  readonly time: string;
  /** How much it matters. */
  readonly level: "info" | "warn" | "error";
  /** What: of the connection its states, and the types of its events that tell of a failure. */
  readonly event:
    | "published"
    | "handled"
    | "rejected"
    | "requeued"
    | "retried"
    | "parked"
    | "connected"
    | "lost"
    | "blocked"
    | "unblocked";
  /** The call that published it. */
  readonly origin?: string | undefined;
  /** The exchange that it was published to; `""` is the default exchange. */
  readonly exchange?: string | undefined;
  /** The key that it was published with. */
  readonly routingKey?: string | undefined;
  /** The queue that it came from. */
  readonly queue?: string | undefined;
  /** The id of the message. */
  readonly messageId?: string | undefined;
  /** Says which request a reply belongs to. */
  readonly correlationId?: string | undefined;
  /** The application's name for this kind of message. */
  readonly type?: string | undefined;
  /** The size of its body, bytes. */
  readonly bytes?: number | undefined;
  /** Which call of a handler, from 1. */
  readonly attempt?: number | undefined;
  /** How many messages a handler of a batch was called for. */
  readonly count?: number | undefined;
  /** Milliseconds until the broker's answer, or of the handler. */
  readonly duration?: number | undefined;
  /** Milliseconds until it is delivered again. */
  readonly delay?: number | undefined;
  /** The URL that is connected to, without its password. */
  readonly url?: string | undefined;
  /** Why the broker takes no messages. */
  readonly reason?: string | undefined;
  /** Why it failed. */
  readonly error?: LogError | undefined;
}

/** Options of {@linkcode logging}. */
export interface LoggingOptions {
  /** Called with each line. An error of its own is passed over: no message fails for it. */
  readonly log: (line: LogLine) => void;
}

const LOGGING: KnownOptions = optionsOf<LoggingOptions>("logging", {
  log: "function",
}, { logger: '"log", a function that takes a line', write: '"log"' });

/** So many characters of an error are told. */
const MAX_TEXT = 1024;

const DONE: Readonly<Record<string, LogLine["event"] | undefined>> = {
  reject: "rejected",
  requeue: "requeued",
  retry: "retried",
  park: "parked",
};

/**
 * Tells of each publish, each call of a handler, what becomes of a message that is not acked,
 * and of the connection, an object a line: no payloads, no bodies, no headers.
 *
 * @param options Where lines go.
 * @returns The middleware.
 * @throws {OptionError} If there is no function to log with.
 *
 * @example Lines
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { logging, type LogLine } from "@dashi/mq/middleware";
 *
 * const lines: LogLine[] = []; // or (line) => console.log(JSON.stringify(line))
 * await using connection = createConnection("memory://logging")
 *   .use(logging({ log: (line) => lines.push(line) }));
 * const orders = new Queue("orders");
 * await connection.send(orders, { id: 1 }, { type: "order" });
 * const consumer = connection.consumer(orders);
 * await consumer.run(() => void consumer.cancel());
 * assertEquals(lines.map(({ event }) => event), ["connected", "published", "handled"]);
 * assertEquals(lines[2]?.queue, "orders");
 * ```
 */
export function logging(options: LoggingOptions): Middleware {
  checkKnown(options, LOGGING);
  const log: unknown = options?.log;
  if (typeof log !== "function") {
    throw new OptionError(
      `Cannot log by ${quote(log)}: "log" must be a function that takes a line`,
    );
  }
  const tell = (
    event: LogLine["event"],
    level: LogLine["level"],
    told: Partial<LogLine>,
  ) => {
    const line = { time: new Date().toISOString(), level, event, ...told };
    try {
      const logging: unknown = options.log(line); // an async function passes for one
      if (isThenable(logging)) Promise.resolve(logging).catch(() => {});
    } catch {
      // A line is lost, and its message must not be.
    }
  };

  /** Calls what is told of, and tells how long that took, and how it ended. */
  const around = async (
    event: LogLine["event"],
    told: Partial<LogLine>,
    next: () => void | Promise<void>,
  ): Promise<void> => {
    const began = performance.now();
    const duration = () =>
      Math.round((performance.now() - began) * 1000) / 1000;
    try {
      await next();
    } catch (thrown) {
      tell(event, "error", {
        ...told,
        duration: duration(),
        error: errorOf(thrown),
      });
      throw thrown;
    }
    tell(event, "info", { ...told, duration: duration() });
  };

  return {
    publish: (message, next) =>
      around("published", ofOutgoing(message), () => next()),
    process: (message, next) =>
      around(
        "handled",
        { ...ofMessage(message), bytes: message.body.length },
        next,
      ),
    processBatch: (messages, next) => {
      const [first] = messages;
      const queue = first?.deliveryInfo.queue;
      return around("handled", { queue, count: messages.length }, next);
    },
    async settle(settlement, next) {
      await next();
      const event = DONE[settlement.action];
      if (event === undefined) return;
      const level = settlement.action === "park" ? "error" : "warn";
      tell(event, level, ofSettlement(settlement));
    },
    event(event) {
      const told = ofEvent(event);
      if (told !== undefined) tell(...told);
    },
  };
}

function ofOutgoing(
  { origin, exchange, routingKey, properties, body, delay }: OutgoingMessage,
): Partial<LogLine> {
  const { messageId, correlationId, type } = properties;
  return {
    origin,
    exchange,
    routingKey,
    messageId,
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(type === undefined ? {} : { type }),
    bytes: body.length,
    ...(delay === 0 ? {} : { delay }),
  };
}

function ofMessage(message: Message<unknown>): Partial<LogLine> {
  const { properties, deliveryInfo: { queue }, attempt } = message;
  const { messageId, correlationId, type } = properties;
  return {
    queue,
    messageId,
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(type === undefined ? {} : { type }),
    attempt,
  };
}

function ofSettlement({ message, delay, error }: Settlement): Partial<LogLine> {
  return {
    ...ofMessage(message),
    ...(delay === 0 ? {} : { delay }),
    ...(error === undefined ? {} : { error: errorOf(error) }),
  };
}

function ofEvent(
  event: ConnectionEvent,
): [LogLine["event"], LogLine["level"], Partial<LogLine>] | undefined {
  switch (event.type) {
    case "state":
      return event.state.type === "open"
        ? ["connected", "info", { url: event.state.url }]
        : undefined;
    case "lost":
      return ["lost", "warn", { error: errorOf(event.error) }];
    case "blocked":
      return ["blocked", "warn", { reason: text(event.reason) }];
    case "unblocked":
      return ["unblocked", "info", {}];
    default:
      return undefined;
  }
}

function errorOf(thrown: unknown): LogError {
  const name = thrown instanceof Error ? String(thrown.name) : typeof thrown;
  const code = thrown instanceof Error && "code" in thrown &&
      typeof thrown.code === "string"
    ? thrown.code
    : undefined;
  return {
    name,
    message: text(errorText(thrown)),
    ...(code === undefined ? {} : { code }),
  };
}

function text(said: string): string {
  return printable(maskSecrets(said.slice(0, 16 * MAX_TEXT), []), MAX_TEXT);
}
