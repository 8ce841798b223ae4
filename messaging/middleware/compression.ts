import { type CodecRegistry, createCodecRegistry } from "../../codec/mod.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount } from "../operation_options.ts";
import type { OutgoingMessage } from "./hooks.ts";
import type { Middleware } from "./middleware.ts";
import { bears, CLAIMED, ENCRYPTED } from "./wrapping.ts";

/** Options of {@linkcode compression}. */
export interface CompressionOptions {
  /** Bodies of more bytes than this are compressed. @default {1024} */
  readonly over?: number | undefined;
  /** The compression: `"gzip"` (Kombu's name for zlib's format), `"brotli"`, `"zstd"`, or one of `codecs`. @default {"gzip"} */
  readonly algorithm?: string | undefined;
  /** The registry that has it. @default {one as `createCodecRegistry` makes it} */
  readonly codecs?: CodecRegistry | undefined;
}

const COMPRESSION: KnownOptions = optionsOf<CompressionOptions>(
  "compression",
  { over: true, algorithm: "string", codecs: "object" },
  {
    threshold: '"over"',
    minSize: '"over"',
    compression: '"algorithm"',
    name: '"algorithm"',
  },
);

/**
 * Compresses bodies over a size, unless they become no smaller, or were compressed by the
 * option `compression` of their publish. Every consumer can read them, Kombu's too: it is
 * that option's header. Use it before {@linkcode encryption}: what is encrypted does not
 * become smaller.
 *
 * @param options From which size on, and how.
 * @returns The middleware.
 * @throws {OptionError} If an option is unknown.
 * @throws {RangeError} If `over` is not a whole number above 0.
 * @throws {EncodeError} From a publish, if there is no such compression.
 *
 * @example What is short stays as it is
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { compression } from "@dashi/mq/middleware";
 *
 * await using connection = createConnection("memory://compression");
 * connection.use(compression({ over: 100 }));
 * const notes = new Queue<string>("notes");
 * await connection.send(notes, "short");
 * await connection.send(notes, "long ".repeat(100));
 * const consumer = connection.consumer(notes);
 * const sizes: [number, number][] = [];
 * await consumer.run(({ body, payload }) => {
 *   if (sizes.push([payload.length, body.length]) === 2) void consumer.cancel();
 * });
 * assertEquals(sizes[0], [5, 5]);
 * assertEquals(sizes[1]?.[0], 500);
 * ```
 */
export function compression(options: CompressionOptions = {}): Middleware {
  checkKnown(options, COMPRESSION);
  const { over = 1024, algorithm = "gzip", codecs = createCodecRegistry() } =
    options;
  checkCount("over", over, Number.MAX_SAFE_INTEGER);

  const compress = ({ headers, body, properties }: OutgoingMessage) => {
    const { contentType = "application/data", contentEncoding } = properties;
    const small = codecs.encode(body, {
      contentType,
      contentEncoding,
      compression: algorithm,
    });
    return small.compression === undefined || small.body.length >= body.length
      ? undefined
      : {
        headers: { ...headers, compression: small.compression },
        body: small.body,
      };
  };

  return {
    publish(message, next) {
      const { headers, body } = message;
      if (
        body.length <= over || "compression" in headers ||
        bears(ENCRYPTED, headers) || bears(CLAIMED, headers)
      ) return next();
      const loading = codecs.prepareCompression(algorithm);
      return loading === undefined
        ? next(compress(message))
        : loading.then(() => next(compress(message)));
    },
  };
}
