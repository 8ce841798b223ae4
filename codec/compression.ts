import { DecodeError, EncodeError } from "../model/errors.ts";
import { errorText } from "../model/error_text.ts";
import { quote } from "../model/foreign_text.ts";
import type { Compression, LazyCompression } from "./codec.ts";
import { COMPRESSIONS } from "./zlib.ts";

/** The default maximum size of a body after decompression: 64 MiB. */
export const MAX_BYTES: number = 64 * 1024 * 1024;

/** Kombu's names of formats that no package serves well: to say so, and not that they are unknown. */
const UNSERVED: ReadonlySet<string> = new Set([
  "bzip2",
  "bzip",
  "application/x-bz2",
  "lzma",
  "xz",
  "application/x-lzma",
]);

/** The compressions of a registry, by name and by MIME type. */
export class Compressions {
  readonly #byName = new Map<string, Compression | LazyCompression>();
  readonly #failures = new Map<string, unknown>();
  #hasLazy = false;

  /** Makes them with those of the runtime. */
  constructor() {
    for (const each of COMPRESSIONS) this.register(each);
  }

  /** Whether any has yet to be loaded. */
  get hasLazy(): boolean {
    return this.#hasLazy;
  }

  /** Adds one; those of the same names give way to it. */
  register(compression: Compression | LazyCompression): void {
    this.#byName.set(compression.contentType, compression);
    for (const name of compression.names) this.#byName.set(name, compression);
    this.#hasLazy = this.#byName.values().some((each) => !isReady(each));
  }

  /** Loads one, if it is known and has to be loaded. */
  prepare(name: string): Promise<void> | undefined {
    const found = this.#byName.get(name);
    if (found === undefined || isReady(found)) return undefined;
    return found.load().then(
      (loaded) => this.register(loaded),
      (error) => {
        this.#failures.set(found.contentType, error);
        throw error;
      },
    );
  }

  /** Whether one has yet to be loaded. */
  isLazy(name: string): boolean {
    const found = this.#byName.get(name);
    return found !== undefined && !isReady(found);
  }

  /** Makes a body smaller; returns it and what to write in the header. */
  compress(
    body: Uint8Array,
    name: string,
  ): { readonly body: Uint8Array; readonly contentType: string } {
    const found = this.#byName.get(name);
    if (found === undefined) {
      throw new EncodeError(
        `Cannot compress with ${quote(name)}: ${this.#why(name)}`,
      );
    }
    if (!isReady(found)) {
      const cause = this.#failures.get(found.contentType);
      const problem = `Cannot compress with ${quote(name)}: it`;
      throw cause === undefined
        ? new EncodeError(`${problem} is not loaded yet`)
        : new EncodeError(`${problem} cannot be loaded: ${errorText(cause)}`, {
          cause,
        });
    }
    return { body: found.compress(body), contentType: found.contentType };
  }

  /** Decompresses a body, as its header says. */
  decompress(body: Uint8Array, name: unknown, mostBytes: number): Uint8Array {
    if (typeof name !== "string") {
      throw new DecodeError(
        `Cannot decompress a body: its header "compression" is no text, but of type ${typeof name}`,
      );
    }
    const found = this.#byName.get(name);
    if (found === undefined) {
      throw new DecodeError(
        `Cannot decompress a body with ${quote(name)}: ${this.#why(name)}`,
      );
    }
    if (isReady(found)) return found.decompress(body, mostBytes);
    const cause = this.#failures.get(found.contentType);
    const problem = `Cannot decompress a body with ${quote(name)}: it`;
    throw cause === undefined
      ? new DecodeError(`${problem} is not loaded yet`)
      : new DecodeError(`${problem} cannot be loaded: ${errorText(cause)}`, {
        cause,
      });
  }

  #why(name: string): string {
    const names = [...this.#byName.keys()].filter((each) => !each.includes("/"))
      .join(", ");
    return UNSERVED.has(name)
      ? `there is no package for it that is kept up, writes and reads it, and can bound what comes out; there are ${names}, or register one with registerCompression()`
      : `it must be one of ${names}`;
  }
}

/**
 * Says whether a header `compression` means any.
 *
 * @param name The header's value.
 * @returns Whether it does; an empty one does not, as in Kombu.
 */
export function isCompressed(name: unknown): boolean {
  return name !== undefined && name !== null && name !== "";
}

function isReady(
  compression: Compression | LazyCompression,
): compression is Compression {
  return "decompress" in compression;
}
