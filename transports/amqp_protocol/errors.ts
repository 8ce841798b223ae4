import {
  AccessRefusedError,
  AuthenticationError,
  ChannelError,
  ClosedError,
  type ErrorDetails,
  MessagingError,
  NotFoundError,
  PreconditionFailedError,
  PublishError,
  ResourceLockedError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { differs } from "../../virtual/equivalence.ts";
import { cannotConnect } from "../connection_errors.ts";
import type { Failure } from "./failure.ts";

/** RabbitMQ's words for a missing queue or exchange, then Qpid's. */
const MISSING: readonly RegExp[] = [
  /^NOT_FOUND - no (queue|exchange) '(.*?)' in vhost/,
  /^No such (queue|exchange)[,:] '(.*)'/,
  /^(Queue) '(.*)' does not exist/,
  /^Unknown (exchange) name: '(.*)'/,
];

/** RabbitMQ's words for a declaration of one that is there with something else. */
const DIFFERENT =
  /^PRECONDITION_FAILED - inequivalent arg '(.*?)' for (exchange|queue) '.*' in vhost '.*': received (.*) but current is (.*)$/s;

/** A value; with its type where the other has none, or another one. */
const VALUE = /^(?:the value )?'(.*?)'(?: of type '\w+')?$/s;

/** RabbitMQ's properties of exchanges and queues by our words for them, where they are set and not set. */
const PROPERTIES: Readonly<Record<string, readonly [string, string]>> = {
  durable: ["as durable", "as transient"],
  auto_delete: ["as auto-delete", "as lasting"],
  internal: ["as internal", "as open to publishers"],
};

/**
 * Translates what went wrong with one call or with its channel.
 *
 * @param action The action that failed, after `Cannot `.
 * @param failure The failure as the broker or the client reports it.
 * @returns The error.
 */
export function channelError(
  action: string,
  { reply, text, cause }: Failure,
): MessagingError {
  const message = `Cannot ${action}: ${text}`;
  const details: ErrorDetails = { cause, replyCode: reply };
  switch (reply) {
    case "not-found": {
      const { kind, name } = missingIn(text) ?? {};
      if (kind === undefined) return new NotFoundError(message, details);
      // In the words of every other broker. A binding has two ends: which of them is missing?
      const isBinding = /^(?:un)?bind /.test(action);
      const missing = isBinding ? `${kind} "${name}"` : `such ${kind}`;
      return new NotFoundError(
        `Cannot ${action}: there is no ${missing}; declare it first`,
        details,
      );
    }
    case "access-refused":
      return new AccessRefusedError(message, details);
    case "resource-locked":
      return new ResourceLockedError(message, details);
    case "precondition-failed":
      return /message size .* larger than/.test(text)
        ? new PublishError(message, { ...details, code: "message-too-large" })
        : new PreconditionFailedError(
          different(action, text) ?? message,
          details,
        );
    case "content-too-large":
      return new PublishError(message, {
        ...details,
        code: "message-too-large",
      });
    case "not-implemented":
      return new UnsupportedError(message, details);
  }
  return new ChannelError(message, { ...details, code: "channel-closed" });
}

/**
 * Finds what is missing in a broker's words.
 *
 * @param text The words.
 * @returns A queue or an exchange, and its name; `undefined` if they tell of none.
 */
export function missingIn(
  text: string,
): { readonly kind: string; readonly name: string } | undefined {
  for (const each of MISSING) {
    const [, kind, name = ""] = each.exec(text) ?? [];
    if (kind !== undefined) return { kind: kind.toLowerCase(), name };
  }
  return undefined;
}

/** In the words of every other broker; RabbitMQ tells the first difference alone. */
function different(action: string, text: string): string | undefined {
  const [, name = "", kind, wanted = "", found = ""] = DIFFERENT.exec(text) ??
    [];
  if (kind !== "exchange" && kind !== "queue") return undefined;
  return `Cannot ${action} ${
    differs(kind, trait(name, wanted), trait(name, found))
  }`;
}

function trait(name: string, told: string): string {
  const [, value] = VALUE.exec(told) ?? [];
  if (value === undefined) return `without "${name}"`;
  if (name === "type") return `of type "${value}"`;
  const [set, unset] = PROPERTIES[name] ?? [];
  const isBare = /^(?:-?\d+|true|false)$/.test(value);
  return (value === "true" ? set : unset) ??
    `with "${name}" ${isBare ? value : `"${value}"`}`;
}

/**
 * Says whether an error is no client's, but ours or the caller's: nothing was sent.
 *
 * @param error The error of a call.
 * @returns Whether it says that something cannot be written.
 */
export function isUnsent(error: unknown): boolean {
  return error instanceof MessagingError || error instanceof TypeError ||
    error instanceof RangeError;
}

/**
 * Makes the error of what waited when its channel ended.
 *
 * @param text The broker's words.
 * @param cause Why the channel ended.
 * @returns The error; retryable on another.
 */
export function channelEnded(text: string, cause: unknown): ChannelError {
  return new ChannelError(
    `A channel ended while a call waited: ${text}`,
    { code: "channel-closed", outcome: "unknown", cause },
  );
}

/**
 * Makes the error of what waited when its channel was closed.
 *
 * @returns The error.
 */
export function closedChannel(): ClosedError {
  return new ClosedError("The channel was closed while a call waited", {
    outcome: "unknown",
  });
}

/**
 * Translates why a connection could not be had.
 *
 * @param broker The broker's URL, without the password.
 * @param virtualHost The virtual host that was asked for.
 * @param failure The failure as the broker or the system reports it.
 * @returns The error; retryable unless the broker has refused.
 */
export function dialError(
  broker: string,
  virtualHost: string,
  { reply, text, cause }: Failure,
): MessagingError {
  const details = { cause, replyCode: reply, outcome: "not-sent" } as const;
  const action = `connect to "${broker}"`;
  if (reply === "access-refused") {
    return /virtual host|vhost/.test(text)
      ? new AuthenticationError(
        `Cannot ${action}: the user may not use the virtual host "${virtualHost}" (${text}); grant it permissions, or name another virtual host`,
        details,
      )
      : new AuthenticationError(
        `Cannot ${action}: the broker refused the user or its password (${text})`,
        details,
      );
  }
  if (reply === "not-allowed" && /vhost .* not found/.test(text)) {
    const right = /^wss?:/.test(broker)
      ? "the path of a WebSocket's URL is the virtual host, the endpoint's own is ?path="
      : 'of amqp://host//name the virtual host is "/name", of amqp://host/name it is "name"';
    return new NotFoundError(
      `Cannot ${action}: the broker has no virtual host "${virtualHost}"; ${right}`,
      details,
    );
  }
  if (reply !== undefined && reply !== "connection-forced") {
    return cannotConnect(action, text, {
      ...details,
      retryable: reply === "resource-error" || reply === "internal-error",
    });
  }
  return cannotConnect(action, text, details);
}

/**
 * Makes the error for what takes messages out of a stream.
 *
 * @param action What was asked for.
 * @returns The error.
 */
export function streamKeeps(action: string): UnsupportedError {
  return new UnsupportedError(
    `Cannot ${action}: it is a stream, whose messages stay for all who read it; consume it from an offset`,
  );
}

/**
 * Says why a message cannot be published as it is asked for, on any server of the protocol.
 *
 * @param message The message.
 * @returns The error; `undefined`: it can.
 */
export function lackingFor(
  { dedupe, transaction }: Publishing,
): UnsupportedError | undefined {
  const lacking = dedupe !== undefined
    ? "dedupe"
    : transaction !== undefined
    ? "transaction"
    : undefined;
  return lacking && new UnsupportedError(
    `Cannot publish a message with ${
      lacking === "dedupe" ? lacking : "a transaction"
    }: this broker lacks the capability "${lacking}"`,
  );
}
