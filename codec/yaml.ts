import { dump, load } from "js-yaml";
import { DecodeError, EncodeError } from "../model/errors.ts";
import { isBinary } from "./bytes.ts";
import type { Codec } from "./codec.ts";
import { findRefused, UNDEFINED } from "./payload.ts";
import { decodeText, encodeText } from "./text.ts";
import { READ_SCHEMA, WRITE_SCHEMA } from "./yaml_schema.ts";

/**
 * YAML 1.1, as Python's safe loader and dumper speak it: no tag makes an object of
 * a class. A timestamp is a `Date`, `!!binary` is a `Uint8Array`, `!!set` is a `Set`;
 * integers beyond 2^53 are `bigint`. One document a body.
 */
export const YAML_CODEC: Codec = {
  name: "yaml",
  contentType: "application/x-yaml",
  contentEncoding: "utf-8",
  encode(payload) {
    if (payload === undefined) throw unwritable(UNDEFINED);
    try {
      return encodeText(dump(payload, { schema: WRITE_SCHEMA }));
    } catch (cause) {
      findRefused(payload, "YAML", { circles: true, sets: true });
      throw unwritable(firstLine(cause), cause);
    }
  },
  decode(body, contentEncoding) {
    const charset = isBinary(contentEncoding) ? "utf-8" : contentEncoding;
    const text = decodeText(body, charset);
    try {
      return load(text, { schema: READ_SCHEMA });
    } catch (cause) {
      if (cause instanceof DecodeError) throw cause;
      throw new DecodeError(
        `Cannot decode a body of ${body.byteLength} bytes as YAML: ${
          firstLine(cause)
        }`,
        { cause },
      );
    }
  },
};

function unwritable(why: string, cause?: unknown): EncodeError {
  return new EncodeError(`Cannot encode a payload as YAML: ${why}`, { cause });
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0] ?? text;
}
