import { asError } from "../../model/error_text.ts";
import type { ConnectionEvent } from "../connection/connection_state.ts";
import type { Message } from "./message.ts";
import type { Aftermath } from "./run_options.ts";

/** Reports the errors of a run: to its `onError`, and to the listeners to the connection's events. */
export class Teller<T> {
  readonly #emit: (event: ConnectionEvent, heard: boolean) => void;
  readonly #onError: ((error: Error, message: Message<T>) => void) | undefined;
  readonly #note: (error: Error) => void;

  /** Makes one; `note` keeps the last error. */
  constructor(
    emit: (event: ConnectionEvent, heard: boolean) => void,
    onError: ((error: Error, message: Message<T>) => void) | undefined,
    note: (error: Error) => void,
  ) {
    this.#emit = emit;
    this.#onError = onError;
    this.#note = note;
  }

  /** A handler threw, or a message could not be settled; `next` is what becomes of it. */
  failed(error: unknown, message: Message<T>, next?: Aftermath): void {
    const thrown = asError(error);
    this.#note(thrown);
    this.event(handlerFailed(thrown, message, next));
    const failed = (cause: unknown) =>
      this.#emit(handlerFailed(asError(cause), message, undefined), false);
    try {
      const told: unknown = this.#onError?.(thrown, message);
      if (told instanceof Promise) told.catch(failed);
    } catch (cause) {
      failed(cause);
    }
  }

  /** Something has become of a message, for its handler failed. */
  event(event: ConnectionEvent): void {
    this.#emit(event, this.#onError !== undefined);
  }
}

/**
 * Makes the event of a handler that has failed.
 *
 * @param error The thrown value.
 * @param message The message.
 * @param next Its fate, if that is decided.
 * @returns The event.
 */
export function handlerFailed<T>(
  error: Error,
  { deliveryInfo: { queue }, properties: { messageId }, attempt }: Message<T>,
  next: Aftermath | undefined,
): ConnectionEvent {
  return { type: "handler-failed", queue, messageId, error, attempt, next };
}
