import zlib from "node:zlib";
import { DecodeError, EncodeError } from "../model/errors.ts";
import type { Compression } from "./compression.ts";
import { isWholeZstd } from "./zstd_frames.ts";

type Options = zlib.ZlibOptions & zlib.BrotliOptions & zlib.ZstdOptions;
type Call = (body: Uint8Array, options: Options) => unknown;

/** Kombu's `gzip` and `zlib`: both are zlib's format, RFC 1950. True gzip is read too. */
const ZLIB: Compression = {
  contentType: "application/x-gzip",
  names: ["gzip", "zlib"],
  compress: (body) => plain(zlib.deflateSync(body)),
  decompress(body, mostBytes) {
    const { buffer, consumed } = expand(
      zlib.unzipSync,
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
    const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
    return plain(zlib.brotliCompressSync(body, {
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
      zlib.brotliDecompressSync,
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
    const { ZSTD_c_checksumFlag } = zlib.constants;
    if (zlib.zstdCompressSync === undefined) {
      throw new EncodeError(
        'Cannot compress with "zstd": this runtime can not; newer ones can',
      );
    }
    // Some readers have to know the size beforehand; older types do not know of it.
    const options: zlib.ZstdOptions & { readonly pledgedSrcSize: number } = {
      params: { [ZSTD_c_checksumFlag]: 1 },
      pledgedSrcSize: body.byteLength,
    };
    return plain(zlib.zstdCompressSync(body, options));
  },
  decompress(body, mostBytes) {
    if (zlib.zstdDecompressSync === undefined) {
      throw new DecodeError(
        'Cannot decompress a body with "zstd": this runtime can not; newer ones can',
      );
    }
    // Not every runtime says that the end is missing.
    if (!isWholeZstd(body)) throw corrupt(body, "zstd");
    return plain(
      expand(zlib.zstdDecompressSync, body, "zstd", mostBytes).buffer,
    );
  },
};

/** What `node:zlib` has of Kombu's compressions, by their MIME types. */
export const COMPRESSIONS: {
  readonly "application/x-gzip": Compression;
  readonly "application/x-brotli": Compression;
  readonly "application/zstd": Compression;
} = {
  "application/x-gzip": ZLIB,
  "application/x-brotli": BROTLI,
  "application/zstd": ZSTD,
};

/** Decompresses, and counts the bytes that were read. */
function expand(
  call: Call,
  body: Uint8Array,
  format: string,
  mostBytes: number,
): { readonly buffer: Uint8Array; readonly consumed: number } {
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
