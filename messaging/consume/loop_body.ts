import type { ReceivedMessage } from "./message.ts";

/**
 * The body of a `for await` over a consumer: at work from when it is handed a message until
 * it asks for the next one, or leaves.
 *
 * @typeParam T The type of its messages' `payload`.
 */
export class LoopBody<T> {
  #message: ReceivedMessage<T> | undefined;
  #onLeft: (() => void) | undefined;
  /** Whether the loop waits for a message. */
  waits = false;

  /** It is handed a message. */
  enter(message: ReceivedMessage<T>): void {
    this.waits = false;
    this.#message = message;
  }

  /** It wants the next one, or no more. */
  leave(waits: boolean): void {
    this.waits = waits;
    this.#message = undefined;
    this.#onLeft?.();
  }

  /** Resolves when it has left, or has settled its message, or cannot any more. Never rejects. */
  async idle(): Promise<void> {
    while (this.#message?.isOpen) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onLeft = resolve;
      this.#message.watchSettled(resolve);
      await promise;
    }
  }
}
