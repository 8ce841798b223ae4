import { quote } from "../../model/foreign_text.ts";
import type { ReceivedMessage } from "./message.ts";

/** Handles a message. */
export type Handler<T> = (message: ReceivedMessage<T>) => void | Promise<void>;

/**
 * Refuses a value that is no handler.
 *
 * @param handler The value as it was given.
 * @param verb The action that it was given for: follows `Cannot `.
 * @param duty The task of the function: `takes a message`.
 * @throws {TypeError} If it is no function.
 */
export function checkHandler(
  handler: unknown,
  verb: string,
  duty: string,
): void {
  if (typeof handler === "function") return;
  throw new TypeError(
    `Cannot ${verb} ${
      quote(handler)
    }: a handler must be a function that ${duty}`,
  );
}

/** Asks what becomes of a message whose payload is not right; says whether there was anybody to ask. */
export type AskInvalid<T> = (
  error: Error,
  message: ReceivedMessage<T>,
) => Promise<boolean>;

/**
 * Makes a handler that is called for messages whose payloads are right, and throws for the
 * others, unless `onInvalid` has settled them.
 *
 * @param handler The handler.
 * @param checks Whether payloads are looked at at all.
 * @param ask Whom to ask.
 * @returns The handler to call.
 */
export function checked<T>(
  handler: Handler<T>,
  checks: boolean,
  ask: AskInvalid<T>,
): Handler<T> {
  if (!checks || typeof handler !== "function") return handler;
  const call = (message: ReceivedMessage<T>) => {
    const error = message.invalid;
    if (error === undefined) return handler(message);
    return ask(error, message).then(() => {
      if (message.settled) return;
      message.refuse(error);
      throw error;
    });
  };
  return (message) => {
    const reading = message.read();
    return reading === undefined
      ? call(message)
      : reading.then(() => call(message));
  };
}
