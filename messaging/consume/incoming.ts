import type { Mailbox } from "../../async/mailbox.ts";
import { asError } from "../../model/error_text.ts";
import type { ReceivedDelivery } from "./lane.ts";
import { ReceivedMessage } from "./message.ts";
import type { ReceivedVia } from "../middleware/hooks.ts";
import { needsCompression, prepareToRead, type Reading } from "./reading.ts";

/** The services that an {@linkcode Incoming} has from its consumer. */
export interface IncomingHost<T> {
  /** Sees to a message whose payload cannot be read, or its schema refuses. Never rejects. */
  refuse(message: ReceivedMessage<T>, error: Error): Promise<void>;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
}

/**
 * The messages that have arrived for a consumer and can be read: the codecs that they need
 * are loaded. If they are to be checked too, invalid ones go elsewhere.
 *
 * @typeParam T The type of its messages' `payload`.
 */
export class Incoming<T> {
  readonly #mailbox: Mailbox<ReceivedDelivery>;
  readonly #reading: Reading<T>;
  readonly #host: IncomingHost<T>;
  /** The accepted types whose codecs were not loaded yet when it was made. */
  readonly #lazyTypes: readonly string[];
  /** The message that was looked at, and has yet to be taken. */
  #seen: ReceivedMessage<T> | undefined;
  #seenAs: ReceivedDelivery | undefined;

  /** Makes one of a mailbox. */
  constructor(
    mailbox: Mailbox<ReceivedDelivery>,
    reading: Reading<T>,
    host: IncomingHost<T>,
  ) {
    this.#mailbox = mailbox;
    this.#reading = reading;
    this.#host = host;
    const { accept, codecs } = reading;
    this.#lazyTypes = [...accept].filter((type) => codecs.isLazy(type));
  }

  /**
   * Takes a message that is there, and ready.
   *
   * @param checks Whether it has to be right.
   * @param via The way by which it passes the middlewares here, if it does.
   * @returns The message; `undefined` where `next` has to wait for something.
   */
  take(checks: boolean, via?: ReceivedVia): ReceivedMessage<T> | undefined {
    if (!this.#isLoaded()) return undefined;
    if (via !== undefined && this.isSeen) return undefined;
    const received = this.#mailbox.peek();
    if (received === undefined) return undefined;
    if (needsCompression(this.#reading, received.delivery)) return undefined;
    const message = this.#messageOf(received);
    if (checks) {
      if (message.read() !== undefined || message.invalid !== undefined) {
        this.#seen = message;
        this.#seenAs = received;
        return undefined;
      }
      // Its schema may have cancelled the consumer.
      if (this.#mailbox.peek() !== received) return undefined;
    }
    this.#mailbox.take();
    received.source.take(received.delivery);
    return message;
  }

  /**
   * Takes the next message, when it is there and ready.
   *
   * @param checks Whether it has to be right.
   * @param via As of `take`.
   * @param began Since when its user has waited for it, on the clock.
   * @returns The message; `undefined` at the end.
   */
  async next(
    checks: boolean,
    via?: ReceivedVia,
    began?: number,
  ): Promise<ReceivedMessage<T> | undefined> {
    for (;;) {
      const received = await this.#mailbox.next();
      if (received === undefined) return undefined;
      // For some transports read the properties only if somebody looks.
      if (!this.#isLoaded() || this.#reading.codecs.hasLazyCompressions) {
        const loading = prepareToRead(this.#reading, received.delivery);
        if (loading !== undefined) await this.#whileOpen(loading);
      }
      const message = this.#messageOf(received);
      const failure = via !== undefined && this.isSeen
        ? await this.#whileOpen(this.#receive(message, via, began))
        : undefined;
      if (checks && failure === undefined) {
        const reading = message.read();
        if (reading !== undefined) await this.#whileOpen(reading);
      }
      const isPaused = received.source.lane.cancelled;
      if (this.#mailbox.ended || isPaused) {
        // Cancelled while it was on its way here: it is for others.
        received.source.giveBack(received);
        if (isPaused) this.#host.want(1);
        continue;
      }
      received.source.take(received.delivery);
      const error = failure ?? (checks ? message.invalid : undefined);
      if (error === undefined) return message;
      await this.#host.refuse(message, error);
      this.#host.want(1);
    }
  }

  /** Waits for a middleware or a schema, and no longer than until the end: it may never answer. */
  #whileOpen<R>(work: Promise<R>): Promise<R | undefined> {
    return new Promise((resolve, reject) => {
      const end = () => resolve(undefined);
      const forget = this.#mailbox.onEnd(end);
      if (this.#mailbox.ended) end();
      work.then(resolve, reject).finally(forget);
    });
  }

  /** Whether a middleware sees its messages. */
  get isSeen(): boolean {
    return this.#reading.uses?.hooks?.receive !== undefined;
  }

  /** Has a message pass the middlewares; returns why its loop does not get it. */
  async #receive(
    message: ReceivedMessage<T>,
    via: ReceivedVia,
    began: number | undefined,
  ): Promise<Error | undefined> {
    try {
      await message.receive(via, began);
    } catch (error) {
      if (via === "iterate") return asError(error);
      // Of `run` they are asked once more with its handler.
      if (via === "get") message.decide({ error: asError(error) });
    }
    return via === "iterate" ? message.refusal : undefined;
  }

  /** Whether the codecs of all accepted types are loaded. */
  #isLoaded(): boolean {
    const { codecs } = this.#reading;
    for (const type of this.#lazyTypes) {
      if (codecs.isLazy(type)) return false;
    }
    return true;
  }

  #messageOf(received: ReceivedDelivery): ReceivedMessage<T> {
    const { delivery, source } = received;
    const seen = this.#seenAs === received ? this.#seen : undefined;
    this.#seen = this.#seenAs = undefined;
    return seen ?? new ReceivedMessage<T>(delivery, source, this.#reading);
  }
}
