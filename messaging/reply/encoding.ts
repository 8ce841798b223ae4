import type {
  CodecRegistry,
  EncodedBody,
  EncodeOptions,
} from "../../codec/mod.ts";

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
  const codec = serializer === undefined
    ? undefined
    : codecs.prepare(serializer);
  const press = compression === undefined || compression === ""
    ? undefined
    : codecs.prepareCompression(compression);
  if (codec !== undefined || press !== undefined) {
    await Promise.allSettled([codec, press]); // if that fails, encoding says so
  }
  return codecs.encode(payload, options);
}
