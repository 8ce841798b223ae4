import { ResponseTooLargeError } from "../../model/response_limit.ts";

/** The maximum size of frames before the two peers have agreed on one, bytes. */
export const FIRST_FRAMES: number = 128 * 1024;

/**
 * The maximum size of frames later, unless the option `maxResponseSize` allows more:
 * RabbitMQ keeps to the agreed size with bodies alone, and a header that dead-lettering
 * made larger goes out as it is.
 */
const LATER_FRAMES = 64 * 1024 * 1024;

/** RabbitMQ can be told to take messages of 512 MiB, and of no more. */
const MAX_MESSAGE = 512 * 1024 * 1024;

/**
 * Says how large a frame may be once the connection is open. The size that the broker
 * proposed is trusted only as far as it is plausible.
 *
 * @param most The option `maxResponseSize`, bytes.
 * @param frameMax The size that was agreed on; 0 is no limit.
 * @returns The largest payload, bytes.
 */
export function mostFrame(most: number, frameMax: number): number {
  return Math.max(FIRST_FRAMES, most, Math.min(frameMax, LATER_FRAMES));
}

/**
 * Leaves out the bodies that are larger than the connection takes. The message comes
 * without, and says so when it is read: were the connection cut, the broker would deliver
 * it to the next one, for ever. A body that is larger than any broker takes ends the
 * connection.
 */
export class BodyLimit {
  readonly #most: number;
  /** The channels that such a body comes on, and how much of it is still to come. */
  readonly #skipped = new Map<number, number>();

  /** Makes one; `most` is the largest body that is taken, bytes. */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Hears of a body that begins.
   *
   * @param channel The channel's number.
   * @param size How large it will be, as the broker says.
   * @returns Whether it is to be left out.
   * @throws {ResponseTooLargeError} If no broker takes such a message.
   */
  begin(channel: number, size: number): boolean {
    if (size >= 0 && size <= this.#most) return false;
    if (size < 0 || size > MAX_MESSAGE) {
      throw new ResponseTooLargeError(this.#most);
    }
    this.#skipped.set(channel, size);
    return true;
  }

  /**
   * Hears of a part of a body.
   *
   * @param channel The channel's number.
   * @param size Its bytes.
   * @returns Whether it is of one that is left out.
   */
  part(channel: number, size: number): boolean {
    if (this.#skipped.size === 0) return false;
    const left = this.#skipped.get(channel);
    if (left === undefined) return false;
    if (size >= left) this.#skipped.delete(channel);
    else this.#skipped.set(channel, left - size);
    return true;
  }

  /** Makes the error for a body that was left out. */
  error(): ResponseTooLargeError {
    return new ResponseTooLargeError(this.#most);
  }
}
