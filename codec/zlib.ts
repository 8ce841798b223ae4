import { DecodeError, EncodeError } from "../model/errors.ts";
import type { Compression } from "./codec.ts";
import { isWholeZstd } from "./zstd_frames.ts";

interface Options {
  readonly info?: boolean;
  readonly maxOutputLength?: number;
  readonly pledgedSrcSize?: number;
  readonly params?: Readonly<Record<number, number>>;
}

type Call<T> = (body: Uint8Array, options?: Options) => T;

/** The part of `node:zlib` that is used. Older runtimes lack zstd. */
interface Zlib {
  readonly deflateSync: Call<Uint8Array>;
  readonly unzipSync: Call<unknown>;
  readonly brotliCompressSync: Call<Uint8Array>;
  readonly brotliDecompressSync: Call<unknown>;
  readonly zstdCompressSync?: Call<Uint8Array>;
  readonly zstdDecompressSync?: Call<unknown>;
  readonly constants: {
    readonly BROTLI_PARAM_QUALITY: number;
    readonly BROTLI_PARAM_SIZE_HINT: number;
    readonly ZSTD_c_checksumFlag: number;
  };
}

/**
 * Loads `node:zlib` with the first need: it takes tens of milliseconds. At once, and
 * not by an import, for then no delivery need be looked at before it is handed over.
 */
function load(): Zlib | undefined {
  const process: unknown = Reflect.get(globalThis, "process");
  const found = hasBuiltins(process)
    ? process.getBuiltinModule("node:zlib")
    : undefined;
  return isZlib(found) ? found : undefined;
}

interface Builtins {
  getBuiltinModule(name: string): unknown;
}

function hasBuiltins(process: unknown): process is Builtins {
  return typeof process === "object" && process !== null &&
    "getBuiltinModule" in process;
}

function isZlib(module: unknown): module is Zlib {
  return typeof module === "object" && module !== null &&
    "brotliCompressSync" in module;
}

/** Kombu's `gzip` and `zlib`: both are zlib's format, RFC 1950. True gzip is read too. */
const ZLIB: Compression = {
  contentType: "application/x-gzip",
  names: ["gzip", "zlib"],
  compress: (body) => plain(forWriting("gzip").deflateSync(body)),
  decompress(body, mostBytes) {
    const { buffer, consumed } = expand(
      load()?.unzipSync,
      body,
      "zlib",
      mostBytes,
    );
    if (consumed !== body.byteLength) throw corrupt(body, "zlib");
    return plain(buffer);
  },
};

/** Of 0 to 11. The highest, which is the default of libraries, takes a second for a megabyte. */
const BROTLI_QUALITY = 5;

const BROTLI: Compression = {
  contentType: "application/x-brotli",
  names: ["brotli"],
  compress(body) {
    const { brotliCompressSync, constants } = forWriting("brotli");
    const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = constants;
    return plain(brotliCompressSync(body, {
      params: {
        [BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
        [BROTLI_PARAM_SIZE_HINT]: body.byteLength,
      },
    }));
  },
  decompress(body, mostBytes) {
    // Not every runtime says that the end is missing. With one byte more a whole
    // body leaves that byte alone, and one that was cut off takes it for its own.
    const longer = new Uint8Array(body.byteLength + 1);
    longer.set(body);
    const { buffer, consumed } = expand(
      load()?.brotliDecompressSync,
      longer,
      "brotli",
      mostBytes,
    );
    if (consumed !== body.byteLength) throw corrupt(body, "brotli");
    return plain(buffer);
  },
};

const ZSTD: Compression = {
  contentType: "application/zstd",
  names: ["zstd", "zstandard"],
  compress(body) {
    const { zstdCompressSync, constants } = forWriting("zstd");
    if (zstdCompressSync === undefined) throw cannotWrite("zstd");
    return plain(zstdCompressSync(body, {
      params: { [constants.ZSTD_c_checksumFlag]: 1 },
      // Some readers have to know the size beforehand.
      pledgedSrcSize: body.byteLength,
    }));
  },
  decompress(body, mostBytes) {
    // Not every runtime says that the end is missing.
    if (!isWholeZstd(body)) throw corrupt(body, "zstd");
    return plain(
      expand(load()?.zstdDecompressSync, body, "zstd", mostBytes).buffer,
    );
  },
};

/** The compressions of Kombu that `node:zlib` has. */
export const COMPRESSIONS: readonly Compression[] = [ZLIB, BROTLI, ZSTD];

function forWriting(format: string): Zlib {
  const zlib = load();
  if (zlib !== undefined) return zlib;
  throw cannotWrite(format);
}

function cannotWrite(format: string): EncodeError {
  return new EncodeError(`Cannot compress with "${format}": ${LACKS}`);
}

const LACKS = "this runtime cannot; newer ones can";

/** Decompresses, and counts the bytes that were read. */
function expand(
  call: Call<unknown> | undefined,
  body: Uint8Array,
  format: string,
  mostBytes: number,
): { readonly buffer: Uint8Array; readonly consumed: number } {
  if (call === undefined) {
    throw new DecodeError(
      `Cannot decompress a body with "${format}": ${LACKS}`,
    );
  }
  let result: unknown;
  try {
    result = call(body, { info: true, maxOutputLength: mostBytes });
  } catch (cause) {
    if (codeOf(cause) !== "ERR_BUFFER_TOO_LARGE") {
      throw corrupt(body, format, cause);
    }
    throw new DecodeError(
      `Cannot decompress a body of ${body.byteLength} bytes with ${format}: it would become larger than ${mostBytes} bytes; "maxDecompressedSize" sets the limit`,
      { cause },
    );
  }
  if (isInfo(result)) {
    return { buffer: result.buffer, consumed: result.engine.bytesWritten };
  }
  throw corrupt(body, format);
}

interface Info {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

function isInfo(result: unknown): result is Info {
  return typeof result === "object" && result !== null && "engine" in result;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function corrupt(
  body: Uint8Array,
  format: string,
  cause?: unknown,
): DecodeError {
  return new DecodeError(
    `Cannot decompress a body of ${body.byteLength} bytes with ${format}: it is corrupt or cut off`,
    cause === undefined ? {} : { cause },
  );
}

/** Not a `Buffer`, which is a `Uint8Array` that shows and compares otherwise. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
