import { withBytes } from "../amqp_protocol/fields.ts";

/**
 * Mends amqplib where it loses what the broker says: a table that it can not read ends
 * its connection, and so does every reconnect that meets the message again; and of a
 * virtual host that is refused it tells no reason. The mends reach into its files, so
 * the version is pinned; where they are not found, all else works.
 *
 * @param requireFile Requires one of amqplib's files.
 */
export function mend(
  requireFile: (file: string) => Record<PropertyKey, unknown>,
): void {
  const codec = requireFile("./lib/codec.js");
  const { decodeFields: decode } = codec;
  if (MENDED in codec || !isFunction(decode)) return;
  codec[MENDED] = true;
  // First of all: what is required next takes the function as it finds it.
  codec.decodeFields = (bytes: unknown) => {
    let table: object = {};
    try {
      const decoded = decode(bytes);
      if (typeof decoded === "object" && decoded !== null) table = decoded;
    } catch {
      // Whoever reads it from the bytes hears why.
    }
    return withBytes(table, bytes);
  };
  const format = requireFile("./lib/format.js");
  const { inspect } = format;
  if (!isFunction(inspect)) return;
  format.inspect = (frame: unknown, showFields: unknown) =>
    inspect(frame, showFields || isRefusal(frame));
}

const MENDED = Symbol.for("@dashi/mq: mended");

function isRefusal(frame: unknown): boolean {
  return typeof frame === "object" && frame !== null && "fields" in frame &&
    typeof frame.fields === "object" && frame.fields !== null &&
    "replyText" in frame.fields;
}

function isFunction(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === "function";
}
