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

/** Makes bodies smaller in one format, and reads them again. */
export interface Compression {
  /** The name in the header `compression`: a MIME type. */
  readonly contentType: string;
  /** The names that the option `compression` knows it by; readers take them in the header too. */
  readonly names: readonly string[];
  /** Makes a body smaller. */
  compress(body: Uint8Array): Uint8Array;
  /**
   * Decompresses a body.
   *
   * @param body The body.
   * @param mostBytes The maximum number of bytes that it may become; it must not be written beyond them.
   * @throws {DecodeError} If it is not of this format, is cut off, or would become larger.
   */
  decompress(body: Uint8Array, mostBytes: number): Uint8Array;
}

/** A compression that is loaded with the first need of it. */
export interface LazyCompression {
  /** The name in the header `compression`: a MIME type. */
  readonly contentType: string;
  /** The names that the option `compression` knows it by. */
  readonly names: readonly string[];
  /** Loads it. */
  load(): Promise<Compression>;
}
