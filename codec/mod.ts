/**
 * Bodies: content types, and what goes into and comes out of them.
 *
 * @module
 */

export { decodeBase64, encodeBase64 } from "./base64.ts";
export type {
  Codec,
  Compression,
  LazyCodec,
  LazyCompression,
} from "./codec.ts";
export { parseJson, stringifyJson, stringifyLooseJson } from "./json.ts";
export {
  CodecRegistry,
  createCodecRegistry,
  type DecodeOptions,
  type EncodedBody,
  type EncodeOptions,
} from "./registry.ts";
export { TypedValue } from "./typed_value.ts";
