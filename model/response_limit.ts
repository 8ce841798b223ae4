/** The maximum number of bytes of one answer of a server by default: 64 MiB. */
export const MAX_RESPONSE: number = 64 * 1024 * 1024;

/**
 * An answer that is larger than the option `maxResponseSize` of the connection allows.
 * Its transport makes the caller's error of it.
 */
export class ResponseTooLargeError extends Error {
  static {
    this.prototype.name = "ResponseTooLargeError";
  }
  /** As errors of sockets have one: the way to the server is cut. */
  readonly code = "ERESPONSESIZE";

  /** Makes one; `most` is the limit in bytes. */
  constructor(most: number) {
    super(
      `the answer is larger than ${most} bytes, which the option maxResponseSize allows`,
    );
  }
}
