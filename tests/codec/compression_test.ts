import { assert, assertEquals, assertThrows } from "@std/assert";
import zlib from "node:zlib";
import envelopes from "../golden/envelopes.json" with { type: "json" };
import { createCodecRegistry } from "../../codec/mod.ts";
import { COMPRESSIONS } from "../../codec/zlib.ts";
import { isWholeZstd } from "../../codec/zstd_frames.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";
import { readEnvelope } from "../../transports/store/envelope.ts";

const LIMIT = 1024 * 1024;
const FORMATS = COMPRESSIONS;
const [ZLIB, , ZSTD] = COMPRESSIONS;
const TEXT = Array.from({ length: 500 }, (_, i) => `line ${i * 7919 % 1000}`)
  .join("\n");
const bytes = (text: string) => new TextEncoder().encode(text);

async function loaded() {
  const codecs = createCodecRegistry();
  for (const { contentType } of FORMATS) {
    await codecs.prepareCompression(contentType);
  }
  return codecs;
}

for (const { contentType, compress, decompress } of FORMATS) {
  for (const body of [bytes(TEXT), bytes(""), Uint8Array.of(0, 255)]) {
    Deno.test(`${contentType}: ${body.length} bytes come back as they were`, () => {
      const back = decompress(compress(body), LIMIT);
      assertEquals(back, body);
      assertEquals(back.constructor, Uint8Array);
    });
  }

  Deno.test(`${contentType}: a body that is cut off anywhere is a DecodeError`, () => {
    const body = compress(bytes(TEXT));
    assert(body.length < 2000);
    for (let end = 0; end < body.length; end++) {
      assertThrows(
        () => decompress(body.subarray(0, end), LIMIT),
        DecodeError,
        "corrupt or cut off",
      );
    }
  });

  Deno.test(`${contentType}: bytes behind its end, and bytes of no format, are a DecodeError`, () => {
    const body = compress(bytes(TEXT));
    for (const wrong of [[...body, 0], [1, 2, 3, 4], [...bytes("{}")]]) {
      assertThrows(
        () => decompress(Uint8Array.from(wrong), LIMIT),
        DecodeError,
        "corrupt or cut off",
      );
    }
  });

  Deno.test(`${contentType}: a body becomes as large as the limit, and not larger`, () => {
    const body = compress(new Uint8Array(LIMIT));
    assertEquals(decompress(body, LIMIT).length, LIMIT);
    assertThrows(
      () => decompress(body, LIMIT - 1),
      DecodeError,
      `larger than ${LIMIT - 1} bytes`,
    );
    assertEquals(decompress(body, 2 ** 31 - 1).length, LIMIT);
  });
}

for (const each of [ZLIB, ZSTD]) {
  assert(each !== undefined);
  const { contentType, compress, decompress } = each;
  Deno.test(`${contentType}: a flipped bit is a DecodeError wherever it is`, () => {
    const body = compress(bytes(TEXT));
    // The first bytes say what format it is, and how much memory it takes.
    for (let i = 16; i < body.length; i += 3) {
      const wrong = body.slice();
      wrong[i] = (wrong[i] ?? 0) ^ 1;
      assertThrows(() => decompress(wrong, LIMIT), DecodeError);
    }
  });
}

Deno.test("application/x-gzip is zlib's format, and true gzip is read too", () => {
  assert(ZLIB !== undefined);
  const { compress, decompress } = ZLIB;
  assertEquals([...compress(bytes("x")).subarray(0, 2)], [0x78, 0x9c]);
  const gzip = zlib.gzipSync(bytes("x"));
  assertEquals(decompress(gzip, LIMIT), bytes("x"));
  assertThrows(
    () => decompress(gzip.subarray(0, gzip.length - 1), LIMIT),
    DecodeError,
  );
});

/** A frame of blocks that say "this byte, 128 KiB times". */
function zstdBomb(blocks: number): Uint8Array {
  const frame = new Uint8Array(6 + 4 * blocks);
  frame.set([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]);
  const header = 128 * 1024 << 3 | 1 << 1;
  for (let i = 0; i < blocks; i++) {
    const last = i === blocks - 1 ? 1 : 0;
    frame.set(
      [header & 255 | last, header >> 8 & 255, header >> 16],
      6 + 4 * i,
    );
  }
  return frame;
}

/** Whole blocks of zeros, as often as goes into 1 MiB: zlib can make no more than 1 GiB of that. */
function zlibBomb(): Uint8Array {
  const block = zlib.deflateRawSync(new Uint8Array(LIMIT), {
    finishFlush: zlib.constants.Z_FULL_FLUSH,
  });
  const count = Math.floor(LIMIT / block.length);
  const bomb = new Uint8Array(2 + count * block.length);
  bomb.set([0x78, 0x9c]);
  for (let i = 0; i < count; i++) bomb.set(block, 2 + i * block.length);
  return bomb;
}

const BOMBS: readonly (readonly [string, string, () => Uint8Array])[] = [
  ["1 MiB of zlib would be 1 GB", "gzip", zlibBomb],
  [
    "a few hundred bytes of brotli would be 256 MiB",
    "brotli",
    () =>
      zlib.brotliCompressSync(new Uint8Array(256 * LIMIT), {
        params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 2 },
      }),
  ],
  ["320 KiB of zstd would be 10 GB", "zstd", () => zstdBomb(81_920)],
];

for (const [name, compression, make] of BOMBS) {
  Deno.test(`decode() refuses a bomb, in the memory that it is allowed: ${name}`, async () => {
    const codecs = await loaded();
    const bomb = make();
    assert(bomb.length <= LIMIT + 2);
    const before = Deno.memoryUsage().rss;
    assertThrows(
      () =>
        codecs.decode(bomb, { compression, maxDecompressedSize: 16 * LIMIT }),
      DecodeError,
      "larger than 16777216 bytes",
    );
    const grown = Deno.memoryUsage().rss - before;
    assert(grown < 128 * LIMIT, `${grown} bytes`);
    // The default is 64 MiB.
    assertThrows(
      () => codecs.decode(bomb, { compression }),
      DecodeError,
      "larger than 67108864 bytes",
    );
  });
}

Deno.test("a frame of zstd: with its size, without, to be skipped, two of them", () => {
  assert(ZSTD !== undefined);
  const sized = ZSTD.compress(bytes(TEXT));
  const skipped = Uint8Array.of(0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9);
  for (
    const [body, whole] of [
      [sized, true],
      [zstdBomb(1), true],
      [skipped, true],
      [Uint8Array.from([...sized, ...skipped, ...sized]), true],
      [skipped.subarray(0, 9), false],
      [Uint8Array.from([...sized, ...skipped.subarray(0, 3)]), false],
      [new Uint8Array(0), false],
    ] as const
  ) assertEquals(isWholeZstd(body), whole);
});

const NAMES: readonly (readonly [string, string])[] = [
  ["gzip", "application/x-gzip"],
  ["zlib", "application/x-gzip"],
  ["application/x-gzip", "application/x-gzip"],
  ["brotli", "application/x-brotli"],
  ["zstd", "application/zstd"],
  ["zstandard", "application/zstd"],
];

for (const [name, contentType] of NAMES) {
  Deno.test(`encode() compresses with "${name}", called ${contentType}; both are read`, async () => {
    const codecs = createCodecRegistry();
    await codecs.prepareCompression(name);
    assertEquals(codecs.prepareCompression(contentType), undefined);
    const encoded = codecs.encode({ text: TEXT }, { compression: name });
    assertEquals([encoded.contentType, encoded.compression], [
      "application/json",
      contentType,
    ]);
    assert(encoded.body.length < TEXT.length / 2);
    for (const compression of [name, contentType]) {
      assertEquals(
        codecs.decode(encoded.body, { ...encoded, compression }),
        { text: TEXT },
      );
    }
  });
}

Deno.test("encode() and decode() refuse an unknown compression, and say which there are", async () => {
  const codecs = await loaded();
  assertThrows(
    () => codecs.encode("x", { compression: "snappy" }),
    EncodeError,
    "one of gzip, zlib, brotli, zstd, zstandard",
  );
  assertThrows(
    () => codecs.decode(bytes("x"), { compression: "snappy" }),
    DecodeError,
    "one of gzip, zlib, brotli, zstd, zstandard",
  );
  assertThrows(
    () => codecs.decode(bytes("x"), { compression: 7 }),
    DecodeError,
    "of type number",
  );
  for (const compression of [undefined, null, ""]) {
    assertEquals(
      codecs.decode(bytes("x"), { contentType: "text/plain", compression }),
      "x",
    );
  }
});

for (const name of ["bzip2", "bzip", "lzma", "xz"]) {
  Deno.test(`"${name}" is refused, and why`, () => {
    const codecs = createCodecRegistry();
    assertThrows(
      () => codecs.encode("x", { compression: name }),
      EncodeError,
      "there is no package for it",
    );
    assertThrows(
      () => codecs.decode(bytes("x"), { compression: name }),
      DecodeError,
      "registerCompression()",
    );
  });
}

Deno.test("registerCompression() adds one, and its names give way to it", () => {
  const codecs = createCodecRegistry();
  codecs.registerCompression({
    contentType: "application/x-bz2",
    names: ["bzip2"],
    compress: (body) => body.toReversed(),
    decompress: (body) => body.toReversed(),
  });
  const encoded = codecs.encode("abc", { compression: "bzip2" });
  assertEquals(encoded.body, bytes("cba"));
  assertEquals(codecs.decode(encoded.body, encoded), "abc");
});

Deno.test("decode() refuses a content type before it decompresses", async () => {
  const codecs = await loaded();
  assertThrows(
    () =>
      codecs.decode(zstdBomb(81_920), {
        contentType: "application/x-evil",
        compression: "zstd",
        accept: codecs.acceptSet(undefined),
      }),
    Error,
    "application/x-evil",
  );
});

for (const { name, stored } of envelopes.cases) {
  if (!name.startsWith("publish_compression_")) continue;
  Deno.test(`a body that Kombu wrote is read, or refused with its reason: ${name}`, async () => {
    const codecs = await loaded();
    const { message } = readEnvelope(stored);
    const { headers, ...properties } = message.properties;
    const options = { ...properties, compression: headers?.["compression"] };
    if (/gzip|zlib/.test(name)) {
      assertEquals(codecs.decode(message.body, options), { hello: "world" });
    } else {
      assertThrows(
        () => codecs.decode(message.body, options),
        DecodeError,
        "there is no package for it",
      );
    }
  });
}
