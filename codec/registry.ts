import { cannotImport } from "../model/dependency.ts";
import {
  ContentDisallowedError,
  DecodeError,
  EncodeError,
  MessagingError,
  OptionError,
} from "../model/errors.ts";
import { errorText } from "../model/error_text.ts";
import { withOwnCause } from "../model/foreign_error.ts";
import { printable, quote } from "../model/foreign_text.ts";
import { BYTES_CODEC, isBinary } from "./bytes.ts";
import type {
  Codec,
  Compression,
  LazyCodec,
  LazyCompression,
} from "./codec.ts";
import { Compressions, isCompressed, MAX_BYTES } from "./compression.ts";
import { JSON_CODEC } from "./json.ts";
import { bytesIn } from "./payload.ts";
import { decodeText, encodeText, TEXT_CODEC } from "./text.ts";

/** The format and the compression of a body to be written. */
export interface EncodeOptions {
  /** The codec by its name. @default {bytes for bytes, text for text, json for all else} */
  readonly serializer?: string | undefined;
  /** The MIME type of a payload that is a body already: a string or bytes. */
  readonly contentType?: string | undefined;
  /** The character set of such a body. @default {"utf-8" for strings, "binary" for bytes} */
  readonly contentEncoding?: string | undefined;
  /** The compression to apply afterwards. @default {nothing} */
  readonly compression?: string | undefined;
}

/** A body, and what it is. */
export interface EncodedBody {
  /** Its MIME type, before it was compressed. */
  readonly contentType: string;
  /** Its character set, or `binary`. */
  readonly contentEncoding: string;
  /** The compression that was applied, for the header `compression`: a MIME type. */
  readonly compression: string | undefined;
  /** Its bytes. */
  readonly body: Uint8Array;
}

/** The format, the encoding and the compression of a body to be read. */
export interface DecodeOptions {
  /** Its MIME type. @default {"application/data"} */
  readonly contentType?: string | undefined;
  /** Its character set, or `binary`. @default {"binary" for bytes, else "utf-8"} */
  readonly contentEncoding?: string | undefined;
  /** Its header `compression`. @default {none: it is not compressed} */
  readonly compression?: unknown;
  /** The MIME types that are accepted. @default {all} */
  readonly accept?: ReadonlySet<string> | undefined;
  /** The maximum number of bytes that a compressed body may become. @default {67_108_864} */
  readonly maxDecompressedSize?: number | undefined;
}

/** The content types that consumers accept by default: none that needs more than JSON. */
const ACCEPTED = ["application/json", "text/plain", "application/data"];

/**
 * The codecs and compressions of a connection, by name and by MIME type. None of them
 * executes code.
 *
 * @example Another content type
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createCodecRegistry } from "@dashi/mq";
 *
 * const codecs = createCodecRegistry();
 * codecs.register({
 *   name: "csv",
 *   contentType: "text/csv",
 *   contentEncoding: "utf-8",
 *   encode: (payload) => new TextEncoder().encode(String(payload)),
 *   decode: (body) => new TextDecoder().decode(body).split(","),
 * });
 * const { body } = codecs.encode(["a", "b"], { serializer: "csv" });
 * assertEquals(codecs.decode(body, { contentType: "text/csv" }), ["a", "b"]);
 * ```
 */
export class CodecRegistry {
  readonly #byName = new Map<string, Codec | LazyCodec>();
  readonly #byType = new Map<string, Codec | LazyCodec>();
  readonly #failures = new Map<string, unknown>();
  readonly #compressions = new Compressions();

  /** Adds a codec; one of the same name or type gives way to it. */
  register(codec: Codec | LazyCodec): void {
    this.#byName.set(codec.name, codec);
    this.#byType.set(codec.contentType, codec);
  }

  /** Adds a compression; those of the same names or type give way to it. */
  registerCompression(compression: Compression | LazyCompression): void {
    this.#compressions.register(compression);
  }

  /**
   * Loads a codec, if it is one that has to be loaded.
   *
   * @param nameOrType Its name or MIME type.
   * @param accept Of other types than these nothing is loaded: they are refused anyway.
   * @returns A promise to wait for, or `undefined` if there is nothing to load.
   */
  prepare(
    nameOrType: string,
    accept?: ReadonlySet<string>,
  ): Promise<void> | undefined {
    if (accept !== undefined && !accept.has(typeOf(nameOrType))) {
      return undefined;
    }
    const codec = this.#find(nameOrType);
    if (codec === undefined || isReady(codec)) return undefined;
    return codec.load().then(
      (loaded) => this.register(loaded),
      (error) => {
        this.#failures.set(codec.contentType, error);
        throw error;
      },
    );
  }

  /** Whether a codec has yet to be loaded. */
  isLazy(nameOrType: string): boolean {
    const codec = this.#find(nameOrType);
    return codec !== undefined && !isReady(codec);
  }

  /**
   * Loads a compression, if it is known and has to be loaded.
   *
   * @param name Its name or MIME type.
   * @returns A promise to wait for, or `undefined` if there is nothing to load.
   */
  prepareCompression(name: string): Promise<void> | undefined {
    return this.#compressions.prepare(name);
  }

  /** Whether any compression has yet to be loaded: none of those that are there from the start. */
  get hasLazyCompressions(): boolean {
    return this.#compressions.hasLazy;
  }

  /** Whether a compression has yet to be loaded. */
  isLazyCompression(name: string): boolean {
    return this.#compressions.isLazy(name);
  }

  /**
   * Writes a payload.
   *
   * @throws {EncodeError} If it cannot be written so, or the serializer or the compression is unknown.
   */
  encode(payload: unknown, options: EncodeOptions = {}): EncodedBody {
    const encoded = this.#encode(payload, options);
    const { compression } = options;
    if (compression === undefined || compression === "") return encoded;
    const { body, contentType } = this.#compressions.compress(
      encoded.body,
      compression,
    );
    return { ...encoded, body, compression: contentType };
  }

  #encode(payload: unknown, options: EncodeOptions): EncodedBody {
    const { serializer, contentType, contentEncoding } = options;
    if (contentType !== undefined && serializer === undefined) {
      return asIs(payload, contentType, contentEncoding);
    }
    const codec = serializer === undefined
      ? codecFor(payload)
      : this.#named(serializer);
    return {
      contentType: contentType ?? codec.contentType,
      contentEncoding: contentEncoding ??
        (codec.contentType === BYTES_CODEC.contentType &&
            typeof payload === "string"
          ? "utf-8"
          : codec.contentEncoding),
      compression: undefined,
      body: encodeWith(codec, payload),
    };
  }

  /**
   * Reads a body. Of a type that no codec knows, it is text if its content encoding is a character set, else bytes.
   *
   * @throws {ContentDisallowedError} If its type is not among the accepted.
   * @throws {DecodeError} If it is not of its type, cannot be decompressed, or would become too large.
   */
  decode(body: Uint8Array, options: DecodeOptions = {}): unknown {
    const { contentEncoding, compression, accept } = options;
    const type = typeOf(options.contentType);
    if (accept !== undefined && !accept.has(type)) {
      throw new ContentDisallowedError(
        `Cannot read a body of content type ${quote(type)}: accepted are ${
          [...accept].join(", ") || "none"
        }; ${remedyFor(type)}`,
      );
    }
    const charset = contentEncoding ??
      (type === "application/data" ? "binary" : "utf-8");
    const plain = isCompressed(compression)
      ? this.#compressions.decompress(
        body,
        compression,
        options.maxDecompressedSize ?? MAX_BYTES,
      )
      : body;
    const codec = this.#byType.get(type);
    if (codec === undefined) {
      return isBinary(charset) ? plain : decodeText(plain, charset);
    }
    if (!isReady(codec)) throw this.#notLoaded(type);
    try {
      return codec.decode(plain, charset);
    } catch (cause) {
      if (cause instanceof MessagingError) throw cause;
      throw withOwnCause(
        new DecodeError(
          `Cannot decode a body of ${plain.byteLength} bytes as ${
            printable(type)
          }: ${errorText(cause)}`,
        ),
        cause,
      );
    }
  }

  /**
   * Makes the set of MIME types that a consumer accepts.
   *
   * @param names Names of codecs, or MIME types. @default {JSON, plain text and bytes}
   * @returns The set.
   * @throws {OptionError} If a name is unknown.
   */
  acceptSet(names: readonly string[] = ACCEPTED): ReadonlySet<string> {
    return new Set(names.map((name) => {
      const isType = typeof name === "string" && name.includes("/");
      if (isType) return typeOf(name);
      const codec = this.#byName.get(name);
      if (codec !== undefined) return codec.contentType;
      throw new OptionError(
        `Cannot accept ${
          quote(name)
        }: it must be a MIME type or one of ${this.#names()}`,
      );
    }));
  }

  #notLoaded(type: string): DecodeError {
    const cause = this.#failures.get(type);
    const problem = `Cannot read a body of content type ${
      quote(type)
    }: its codec`;
    return cause === undefined
      ? new DecodeError(`${problem} is not loaded yet`)
      : new DecodeError(`${problem} cannot be loaded: ${errorText(cause)}`, {
        cause,
      });
  }

  #named(serializer: string): Codec {
    const codec = this.#find(serializer);
    if (codec === undefined) {
      throw new EncodeError(
        `Cannot encode with the serializer ${
          quote(serializer)
        }: it must be one of ${this.#names()}`,
      );
    }
    if (isReady(codec)) return codec;
    const cause = this.#failures.get(codec.contentType);
    const problem = `Cannot encode with the serializer ${
      quote(serializer)
    }: it`;
    throw cause === undefined
      ? new EncodeError(`${problem} is not loaded yet`)
      : new EncodeError(`${problem} cannot be loaded: ${errorText(cause)}`, {
        cause,
      });
  }

  #find(nameOrType: string): Codec | LazyCodec | undefined {
    return this.#byName.get(nameOrType) ??
      this.#byType.get(typeOf(nameOrType));
  }

  #names(): string {
    return [...this.#byName.keys()].join(", ");
  }
}

/**
 * Makes a registry with the codecs `json`, `text`, and `bytes`, also by Kombu's name
 * `raw`; and `yaml` and `msgpack`, whose packages are loaded with the first need. Its
 * compressions are `gzip`, also called `zlib`, `brotli` and `zstd`.
 *
 * @returns The registry.
 *
 * @example There and back
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createCodecRegistry } from "@dashi/mq";
 *
 * const codecs = createCodecRegistry();
 * const { body, contentType } = codecs.encode({ id: 7 });
 * assertEquals(codecs.decode(body, { contentType }), { id: 7 });
 * ```
 */
export function createCodecRegistry(): CodecRegistry {
  const registry = new CodecRegistry();
  registry.register(JSON_CODEC);
  registry.register(TEXT_CODEC);
  registry.register({ ...BYTES_CODEC, name: "raw" });
  registry.register(BYTES_CODEC);
  registry.register({
    name: "yaml",
    contentType: "application/x-yaml",
    load: () =>
      import("./yaml.ts").then(({ YAML_CODEC }) => YAML_CODEC, (cause) => {
        throw cannotImport('load the codec "yaml"', ["js-yaml"], cause);
      }),
  });
  registry.register({
    name: "msgpack",
    contentType: "application/x-msgpack",
    load: () =>
      import("./msgpack.ts").then(
        ({ MSGPACK_CODEC }) => MSGPACK_CODEC,
        (cause) => {
          const packages = ["@msgpack/msgpack"];
          throw cannotImport('load the codec "msgpack"', packages, cause);
        },
      ),
  });
  return registry;
}

/** A codec of the user's own may throw what it likes. */
function encodeWith(codec: Codec, payload: unknown): Uint8Array {
  try {
    return codec.encode(payload);
  } catch (cause) {
    if (cause instanceof MessagingError) throw cause;
    throw withOwnCause(
      new EncodeError(
        `Cannot encode a payload with the serializer "${codec.name}": ${
          errorText(cause)
        }`,
      ),
      cause,
    );
  }
}

function codecFor(payload: unknown): Codec {
  if (typeof payload === "string") return TEXT_CODEC;
  return bytesIn(payload) === undefined ? JSON_CODEC : BYTES_CODEC;
}

function asIs(
  payload: unknown,
  contentType: string,
  contentEncoding: string | undefined,
): EncodedBody {
  const bytes = bytesIn(payload);
  if (bytes !== undefined) {
    return {
      contentType,
      contentEncoding: contentEncoding ?? "binary",
      compression: undefined,
      body: bytes,
    };
  }
  const charset = contentEncoding ?? "utf-8";
  if (typeof payload !== "string" || !/^(utf-?8|us-ascii)$/i.test(charset)) {
    throw new EncodeError(
      `Cannot use a payload of type ${typeof payload} as a body of content type ${
        quote(contentType)
      } and content encoding ${
        quote(charset)
      }: it must be bytes, or a string in utf-8; or name a serializer`,
    );
  }
  return {
    contentType,
    contentEncoding: charset,
    compression: undefined,
    body: encodeText(payload),
  };
}

function isReady(codec: Codec | LazyCodec): codec is Codec {
  return "decode" in codec;
}

/** Without parameters, in lower case; nothing at all is bytes. */
function typeOf(contentType: string | undefined): string {
  if (contentType === undefined || contentType === "") {
    return "application/data";
  }
  const semicolon = contentType.indexOf(";");
  const type = semicolon < 0 ? contentType : contentType.slice(0, semicolon);
  return type.trim().toLowerCase();
}

/** A type of the library's own is that of a body which a middleware has wrapped: no codec reads it. */
function remedyFor(type: string): string {
  return type.startsWith("application/vnd.dashi.")
    ? "a middleware of its publisher has made it, encryption or claimCheck: let this connection use() the same one"
    : 'name it in "accept" if you trust who sends it';
}
