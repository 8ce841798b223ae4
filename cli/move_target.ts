import {
  type Channel,
  ChannelError,
  ConnectionError,
  MessagingError,
  type Publishing,
  type PublishOutcome,
} from "../mod.ts";
import { Line } from "../async/line.ts";
import { lineOf } from "./advice.ts";

/** The target does not take one message, as it is. */
export class NotTakenError extends Error {
  /** Made of what the target says. */
  constructor(cause: Error) {
    super(`the target does not take it: ${lineOf(cause)}`, { cause });
  }
}

/**
 * Publishes to the target. RabbitMQ ends a channel over a message that it does not take, and
 * with it all that is in flight there: these are published again one by one, on another
 * channel, so that only the message that it does not take is refused.
 */
export class MoveTarget implements AsyncDisposable {
  readonly #open: () => Promise<Channel>;
  readonly #line = new Line();
  readonly #opened = new Set<Channel>();
  #together: Promise<Channel> | undefined;
  #alone: Promise<Channel> | undefined;
  /** The smallest body that was refused as too large, bytes: one like it goes alone. */
  #tooLarge = Infinity;

  /** Makes one; `open` opens a channel. */
  constructor(open: () => Promise<Channel>) {
    this.#open = open;
  }

  /**
   * Publishes a message.
   *
   * @param message The message.
   * @returns Its outcome.
   * @throws {Error} What the target says of it, or of the connection.
   */
  async publish(message: Publishing): Promise<PublishOutcome> {
    try {
      return await this.#publish(message);
    } catch (error) {
      if (
        error instanceof MessagingError && error.code === "message-too-large"
      ) this.#tooLarge = Math.min(this.#tooLarge, message.body.byteLength);
      throw error;
    }
  }

  async #publish(message: Publishing): Promise<PublishOutcome> {
    if (message.body.byteLength < this.#tooLarge) {
      this.#together ??= this.#channel(() => this.#together = undefined);
      try {
        return await (await this.#together).publish(message);
      } catch (error) {
        if (!isOfChannel(error)) throw error;
      }
    }
    return await this.#line.enter(() => this.#publishAlone(message));
  }

  async #publishAlone(message: Publishing): Promise<PublishOutcome> {
    this.#alone ??= this.#channel(() => this.#alone = undefined);
    const channel = await this.#alone;
    try {
      return await channel.publish(message);
    } catch (error) {
      if (!isOfChannel(error)) throw error;
      // Nothing else was on it: it has ended over this one.
      const reason = await channel.closed;
      if (reason.type !== "lost") throw error;
      throw isOfMessage(reason.error)
        ? new NotTakenError(reason.error)
        : reason.error;
    }
  }

  #channel(forget: () => void): Promise<Channel> {
    const opening = this.#open();
    opening.then((channel) => {
      this.#opened.add(channel);
      return channel.closed.then(() => this.#opened.delete(channel));
    }).then(forget, forget);
    return opening;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#opened].map((each) => each[Symbol.asyncDispose]()),
    );
  }
}

/** Whether a channel has ended, and its connection has not. */
function isOfChannel(error: unknown): boolean {
  return error instanceof ChannelError && error.code === "channel-closed" &&
    !(error.cause instanceof ConnectionError);
}

function isOfMessage(error: Error): boolean {
  return error instanceof MessagingError &&
    error.code === "precondition-failed";
}
