import type {
  CodecRegistry,
  EncodedBody,
  EncodeOptions,
} from "../../codec/mod.ts";

/**
 * Loads what a payload is written with. If that fails, encoding says so.
 *
 * @param codecs The codecs.
 * @param options The serializer and the compression.
 * @returns A promise that never rejects; `undefined` if all is loaded.
 */
export function loadCodecs(
  codecs: CodecRegistry,
  { serializer, compression }: EncodeOptions,
): Promise<unknown> | undefined {
  const codec = serializer ? codecs.prepare(serializer) : undefined;
  const press = compression
    ? codecs.prepareCompression(compression)
    : undefined;
  return codec === undefined && press === undefined
    ? undefined
    : Promise.allSettled([codec, press]);
}

/**
 * How a payload is written.
 *
 * @param options What the call asks for.
 * @param defaults What holds where it asks for nothing.
 * @returns The format.
 */
export function formatOf(
  options: EncodeOptions,
  { serializer, compression }: EncodeOptions,
): EncodeOptions {
  const { contentType, contentEncoding } = options;
  return {
    // A body of a type that is named is a body already.
    serializer: options.serializer ??
      (contentType === undefined ? serializer : undefined),
    compression: options.compression ?? compression,
    contentType,
    contentEncoding,
  };
}

/**
 * Whether a publish says how its payload is written: most do not, and share a format.
 *
 * @param options What the call asks for.
 * @returns Whether it asks for something.
 */
export function saysFormat(
  { serializer, compression, contentType, contentEncoding }: EncodeOptions,
): boolean {
  return serializer !== undefined || compression !== undefined ||
    contentType !== undefined || contentEncoding !== undefined;
}

/**
 * Whether what a payload is written with has yet to be loaded.
 *
 * @param codecs The codecs.
 * @param options The serializer and the compression.
 * @returns Whether {@linkcode loadCodecs} has something to do.
 */
export function isLazy(
  codecs: CodecRegistry,
  { serializer, compression }: EncodeOptions,
): boolean {
  return (serializer !== undefined && codecs.isLazy(serializer)) ||
    (compression !== undefined && codecs.isLazyCompression(compression));
}

/**
 * Writes a payload; what that needs is loaded first.
 *
 * @param codecs The codecs.
 * @param payload The payload.
 * @param options How.
 * @returns Its body.
 * @throws {EncodeError} If it cannot be written.
 */
export async function encode(
  codecs: CodecRegistry,
  payload: unknown,
  { serializer, compression, contentType, contentEncoding }: EncodeOptions,
): Promise<EncodedBody> {
  const options = { serializer, compression, contentType, contentEncoding };
  const loading = loadCodecs(codecs, options);
  if (loading !== undefined) await loading;
  return codecs.encode(payload, options);
}
