import { asError } from "../../model/error_text.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Clock } from "../../async/clock.ts";
import { onAbort, pause } from "../../async/pause.ts";
import type { Inbox } from "../inbox/inbox.ts";
import type { Handler } from "./checked.ts";
import type { ReceivedMessage } from "./message.ts";
import type { RunOptions } from "./run_options.ts";

/** The services that {@linkcode Once} has from its consumer. */
export interface OnceHost<T> {
  readonly clock: Clock;
  /** Tells that the inbox has failed for a message, which waits. */
  tell(error: Error, message: ReceivedMessage<T>): void;
  /** A message was handled before, and is skipped. */
  skipped(message: ReceivedMessage<T>, key: string): void;
}

/** How soon an inbox that failed is asked again, at first and at most, ms. */
const [FIRST_WAIT, LONGEST_WAIT] = [50, 2000];

/** Thrown to an inbox for a message that its handler has put back, or that nobody waits for. */
const PUT_BACK = new Error("The message was not handled, and goes back");

/** Calls a handler for messages that its inbox does not know as handled. */
export class Once<T> {
  readonly #handler: Handler<T>;
  readonly #inbox: Inbox;
  readonly #key: RunOptions<T>["inboxKey"];
  readonly #host: OnceHost<T>;
  /** The messages for which the handler was not called yet. */
  readonly #waiting = new Set<AbortController>();
  #hasEnded = false;

  /** Makes one for a run. */
  constructor(
    handler: Handler<T>,
    inbox: Inbox,
    key: RunOptions<T>["inboxKey"],
    host: OnceHost<T>,
  ) {
    this.#handler = handler;
    this.#inbox = inbox;
    this.#key = key;
    this.#host = host;
  }

  /** Messages that wait go back: for those that others handle now, or for an inbox that does not answer. */
  letWaitingGo(): void {
    for (const each of this.#waiting) each.abort(PUT_BACK);
  }

  /** No more messages come: nothing waits any more. */
  end(): void {
    this.#hasEnded = true;
    this.letWaitingGo();
  }

  /** Sees to one message. */
  readonly handle = async (message: ReceivedMessage<T>): Promise<void> => {
    const key = this.#keyOf(message);
    const waiting = new AbortController();
    const { signal } = waiting;
    if (this.#hasEnded) waiting.abort(PUT_BACK);
    this.#waiting.add(waiting);
    let isCalled = false;
    const work = async () => {
      if (signal.aborted || !message.isOpen) throw PUT_BACK;
      isCalled = true;
      this.#waiting.delete(waiting);
      await this.#handler(message);
      if (message.settled && !message.isAcked) throw PUT_BACK;
    };
    const onError = (error: Error) => this.#host.tell(error, message);
    const left = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(PUT_BACK), { once: true });
    });
    left.catch(() => {});
    try {
      for (let wait = FIRST_WAIT;; wait = Math.min(2 * wait, LONGEST_WAIT)) {
        try {
          signal.throwIfAborted();
          const handling = this.#inbox.handle(key, work, {
            signal,
            onError,
            message,
          });
          handling.catch(() => {}); // an inbox that does not answer is not waited for
          const outcome = await Promise.race([handling, left]);
          if (outcome === "duplicate") this.#host.skipped(message, key);
          return;
        } catch (error) {
          if (isCalled) {
            if (error === PUT_BACK) return;
            throw error;
          }
          if (error === PUT_BACK || signal.aborted) {
            return await this.#putBack(message);
          }
          onError(asError(error));
        }
        await pause(this.#host.clock, wait, onAbort(signal));
      }
    } finally {
      this.#waiting.delete(waiting);
    }
  };

  /** One that is no longer ours is delivered again by itself. */
  async #putBack(message: ReceivedMessage<T>): Promise<void> {
    if (message.isOpen) await message.requeue().catch(() => {});
  }

  #keyOf(message: ReceivedMessage<T>): string {
    const { queue } = message.deliveryInfo;
    const key: unknown = this.#key === undefined
      ? message.properties.messageId
      : this.#key(message);
    if (typeof key === "string" && key !== "") return `${queue} ${key}`;
    if (this.#key !== undefined) {
      throw new OptionError(
        `Cannot use ${
          quote(key)
        } as the key of a message: "inboxKey" must return a string that is not empty`,
      );
    }
    const error = new OptionError(
      `Cannot tell whether a message of queue "${queue}" was handled before: it has no "messageId"; give "inboxKey", a function that names it`,
    );
    message.decide({ error }); // no other attempt would end better
    throw error;
  }
}
