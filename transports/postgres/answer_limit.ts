import { ResponseTooLargeError } from "../../model/response_limit.ts";

/** Bytes before what a message of the server has: its letter, and its length, which counts itself. */
const HEAD = 5;

/** Counts what a server sends, message by message: the client takes them at any length. */
export class AnswerLimit {
  readonly #most: number;
  readonly #head = new Uint8Array(HEAD);
  #headBytes = 0;
  /** Bytes of the message under way that are yet to come. */
  #left = 0;

  /** Makes one at the beginning of a connection; `most` is the option `maxResponseSize`. */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Counts bytes.
   *
   * @throws {ResponseTooLargeError} If they begin a message that is too large.
   */
  count(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#left > 0) {
        const next = Math.min(this.#left, bytes.length - at);
        this.#left -= next;
        at += next;
        continue;
      }
      this.#head[this.#headBytes++] = bytes[at++] ?? 0;
      if (this.#headBytes < HEAD) continue;
      this.#headBytes = 0;
      const length = new DataView(this.#head.buffer).getUint32(1);
      if (length > this.#most) throw new ResponseTooLargeError(this.#most);
      this.#left = Math.max(0, length - HEAD + 1);
    }
  }
}
