/** Turns payloads of one content type into bodies, and back. */
export interface Codec {
  /** The name that `serializer` and `accept` know it by. */
  readonly name: string;
  /** The MIME type that it writes and reads. */
  readonly contentType: string;
  /** The character set that it writes, or `binary`. */
  readonly contentEncoding: string;
  /**
   * Writes a payload.
   *
   * @throws {EncodeError} If it cannot be written in this type.
   */
  encode(payload: unknown): Uint8Array;
  /**
   * Reads a body.
   *
   * @throws {DecodeError} If it is not of this type.
   */
  decode(body: Uint8Array, contentEncoding: string): unknown;
}

/** A codec that is loaded with the first need of it. */
export interface LazyCodec {
  /** The name that `serializer` and `accept` know it by. */
  readonly name: string;
  /** The MIME type that it writes and reads. */
  readonly contentType: string;
  /** Loads it. */
  load(): Promise<Codec>;
}
