import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createCodecRegistry, type EncodeOptions } from "../../codec/mod.ts";
import {
  ContentDisallowedError,
  DecodeError,
  EncodeError,
  OptionError,
} from "../../model/errors.ts";

const codecs = createCodecRegistry();
const text = (body: Uint8Array) => new TextDecoder().decode(body);

const ENCODED: readonly (readonly [
  string,
  unknown,
  EncodeOptions,
  string,
  string,
  string,
])[] = [
  ["bytes", Uint8Array.of(97), {}, "application/data", "binary", "a"],
  ["a text", "é", {}, "text/plain", "utf-8", "é"],
  ["an object", { a: 1 }, {}, "application/json", "utf-8", '{"a":1}'],
  ["null", null, {}, "application/json", "utf-8", "null"],
  ["a number", 7, {}, "application/json", "utf-8", "7"],
  [
    "a text as json",
    "x",
    { serializer: "json" },
    "application/json",
    "utf-8",
    '"x"',
  ],
  [
    "a text as raw",
    "abc",
    { serializer: "raw" },
    "application/data",
    "utf-8",
    "abc",
  ],
  [
    "bytes as raw",
    Uint8Array.of(98),
    { serializer: "raw" },
    "application/data",
    "binary",
    "b",
  ],
  [
    "a text of a type",
    "<a/>",
    { contentType: "application/xml" },
    "application/xml",
    "utf-8",
    "<a/>",
  ],
  [
    "bytes of a type",
    Uint8Array.of(99),
    { contentType: "image/png" },
    "image/png",
    "binary",
    "c",
  ],
  [
    "bytes of an encoding",
    Uint8Array.of(99),
    { contentType: "x/y", contentEncoding: "alien" },
    "x/y",
    "alien",
    "c",
  ],
];

for (
  const [name, payload, options, contentType, contentEncoding, body] of ENCODED
) {
  Deno.test(`encode() writes ${name} as ${contentType}, ${contentEncoding}`, () => {
    const encoded = codecs.encode(payload, options);
    assertEquals([
      encoded.contentType,
      encoded.contentEncoding,
      text(encoded.body),
    ], [contentType, contentEncoding, body]);
  });
}

const UNWRITABLE:
  readonly (readonly [string, unknown, EncodeOptions, string])[] = [
    ["an unknown serializer", {}, { serializer: "pickle" }, "json"],
    [
      "an object of a type",
      {},
      { contentType: "application/xml" },
      "serializer",
    ],
    ["an object as text", {}, { serializer: "text" }, "string"],
    ["an object as bytes", {}, { serializer: "bytes" }, "bytes or a string"],
    ["a text in latin-1", "x", {
      contentType: "text/plain",
      contentEncoding: "latin-1",
    }, "latin-1"],
  ];

for (const [name, payload, options, words] of UNWRITABLE) {
  Deno.test(`encode() refuses ${name}`, () => {
    const { message } = assertThrows(
      () => codecs.encode(payload, options),
      EncodeError,
    );
    assert(message.includes(words), message);
  });
}

const bytes = (value: string) => new TextEncoder().encode(value);

const DECODED: readonly (readonly [
  string,
  Uint8Array,
  string | undefined,
  string | undefined,
  unknown,
])[] = [
  ["json", bytes('{"a": 1}'), "application/json", "utf-8", { a: 1 }],
  [
    "json with parameters",
    bytes("1"),
    "Application/JSON; charset=utf-8",
    "utf-8",
    1,
  ],
  [
    "json that Kombu calls binary",
    bytes("1"),
    "application/json",
    "binary",
    1,
  ],
  ["text", bytes("é"), "text/plain", "utf-8", "é"],
  [
    "text with a mark of byte order",
    bytes("\uFEFFé"),
    "text/plain",
    "utf-8",
    "\uFEFFé",
  ],
  [
    "JSON behind a mark of byte order",
    bytes("\uFEFF1"),
    "application/json",
    "utf-8",
    1,
  ],
  ["text in latin-1", Uint8Array.of(0xe9), "text/plain", "latin1", "é"],
  [
    "bytes",
    Uint8Array.of(255),
    "application/data",
    "binary",
    Uint8Array.of(255),
  ],
  [
    "bytes of no type",
    Uint8Array.of(255),
    undefined,
    undefined,
    Uint8Array.of(255),
  ],
  ["text called data", bytes("x"), "application/data", "utf-8", "x"],
  [
    "an unknown type as text",
    bytes("<a/>"),
    "application/xml",
    "utf-8",
    "<a/>",
  ],
  [
    "an unknown type as bytes",
    Uint8Array.of(7),
    "image/png",
    "binary",
    Uint8Array.of(7),
  ],
];

for (const [name, body, contentType, contentEncoding, expected] of DECODED) {
  Deno.test(`decode() reads ${name}`, () => {
    assertEquals(
      codecs.decode(body, { contentType, contentEncoding }),
      expected,
    );
  });
}

const UNREADABLE: readonly (readonly [string, Uint8Array, string, string])[] = [
  ["half of json", bytes('{"a":'), "application/json", "utf-8"],
  ["an empty body as json", bytes(""), "application/json", "utf-8"],
  ["text that is no utf-8", Uint8Array.of(0xff), "text/plain", "utf-8"],
  [
    "json that is no utf-8",
    Uint8Array.of(0x22, 0xff, 0x22),
    "application/json",
    "utf-8",
  ],
  ["an unknown character set", bytes("x"), "text/plain", "klingon"],
];

for (const [name, body, contentType, contentEncoding] of UNREADABLE) {
  Deno.test(`decode() refuses ${name}`, () => {
    assertThrows(
      () => codecs.decode(body, { contentType, contentEncoding }),
      DecodeError,
    );
  });
}

Deno.test("decode() refuses what is not accepted, by name", () => {
  const accept = codecs.acceptSet(undefined);
  codecs.decode(bytes("1"), { contentType: "application/json", accept });
  const { message } = assertThrows(
    () =>
      codecs.decode(bytes("x"), { contentType: "application/x-evil", accept }),
    ContentDisallowedError,
  );
  assert(message.includes("application/x-evil"));
  assert(message.includes("application/json"));
});

Deno.test("acceptSet() takes names and MIME types, and an explicit list is exact", () => {
  assertEquals([...codecs.acceptSet(["json", "Image/PNG"])], [
    "application/json",
    "image/png",
  ]);
  assertEquals([...codecs.acceptSet([])], []);
  assertThrows(() => codecs.acceptSet(["pickle"]), OptionError, "pickle");
});

Deno.test("a codec is loaded once, when it is prepared", async () => {
  const registry = createCodecRegistry();
  let loads = 0;
  registry.register({
    name: "upper",
    contentType: "text/x-upper",
    load: () => {
      loads++;
      return Promise.resolve({
        name: "upper",
        contentType: "text/x-upper",
        contentEncoding: "utf-8",
        encode: (payload) => bytes(String(payload).toUpperCase()),
        decode: (body) => text(body).toLowerCase(),
      });
    },
  });
  assertThrows(
    () => registry.encode("x", { serializer: "upper" }),
    EncodeError,
  );
  await registry.prepare("text/x-upper");
  assertEquals(registry.prepare("upper"), undefined);
  assertEquals(text(registry.encode("x", { serializer: "upper" }).body), "X");
  assertEquals(loads, 1);
});

Deno.test("an error of the user's own codec is the cause of an EncodeError, or a DecodeError", () => {
  const registry = createCodecRegistry();
  const cause = new TypeError("no csv");
  const fail = () => {
    throw cause;
  };
  registry.register({
    name: "csv",
    contentType: "text/csv",
    contentEncoding: "utf-8",
    encode: fail,
    decode: fail,
  });
  const written = assertThrows(
    () => registry.encode("x", { serializer: "csv" }),
    EncodeError,
    "no csv",
  );
  const read = assertThrows(
    () => registry.decode(bytes("x"), { contentType: "text/csv" }),
    DecodeError,
    "no csv",
  );
  assertEquals([written.cause, read.cause], [cause, cause]);
});

Deno.test("a codec that cannot be loaded rejects its preparation", async () => {
  const registry = createCodecRegistry();
  registry.register({
    name: "gone",
    contentType: "x/gone",
    load: () => Promise.reject(new Error("not installed")),
  });
  await assertRejects(
    () => registry.prepare("gone") ?? Promise.resolve(),
    Error,
    "not installed",
  );
});

const circle: Record<string, unknown> = { name: "x" };
circle.friends = [{ best: circle }];

const CHANGED: readonly (readonly [string, unknown, string])[] = [
  ["a promise", { user: { photo: Promise.resolve(1) } }, "payload.user.photo"],
  [
    "a thenable",
    new (class Query {
      then() {}
      x = 1;
    })(),
    "payload as",
  ],
  ["an Error", { "the error": new Error("x") }, 'payload["the error"]'],
  ["a RegExp", { list: [{ pattern: /x/ }] }, "payload.list[0].pattern"],
  ["a Blob", { file: new Blob(["x"]) }, "payload.file"],
  ["headers", new Headers({ a: "b" }), "it is a Headers"],
  ["an ArrayBuffer in an object", { a: new ArrayBuffer(3) }, "payload.a"],
  ["floats in an object", { a: new Float32Array(2) }, "it is a Float32Array"],
  ["a Map", { a: new Map([[1, 2]]) }, "payload.a"],
  ["a function", { a: [() => 1] }, "payload.a[0]"],
  ["a symbol", { a: Symbol("x") }, "payload.a"],
];

for (const serializer of ["json", "yaml", "msgpack"]) {
  for (const [name, payload, words] of CHANGED) {
    Deno.test(`${serializer}: ${name} is refused, and where it is`, async () => {
      await codecs.prepare(serializer);
      const { message } = assertThrows(
        () => codecs.encode(payload, { serializer }),
        EncodeError,
      );
      assert(message.includes(words), message);
    });
  }
}

for (const serializer of ["json", "msgpack"]) {
  Deno.test(`${serializer}: a circle is refused, and where it is`, async () => {
    await codecs.prepare(serializer);
    assertThrows(
      () => codecs.encode({ deep: { circle } }, { serializer }),
      EncodeError,
      "payload.deep.circle.friends[0].best",
    );
  });
}

Deno.test("json: a circle a thousand objects long is refused, and where it is", () => {
  const first: Record<string, unknown> = {};
  let last = first;
  for (let i = 0; i < 1000; i++) last = last.n = {} as Record<string, unknown>;
  last.n = first;
  assertThrows(
    () => codecs.encode(first),
    EncodeError,
    "payload.n.n.n",
  );
});

Deno.test("json: a payload that nests deeper than the stack is an EncodeError", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  assertThrows(() => codecs.encode(deep), EncodeError, "too deeply");
});

Deno.test("the same object twice is written, where it is no circle", () => {
  const twice = { at: new Date(0) };
  const { body } = codecs.encode({ a: twice, b: [twice, twice] });
  assertEquals(codecs.decode(body, { contentType: "application/json" }), {
    a: twice,
    b: [twice, twice],
  });
});

const BYTES = new Uint8Array([1, 2, 3, 4]);
for (
  const [name, payload] of [
    ["an ArrayBuffer", BYTES.buffer],
    ["a DataView", new DataView(BYTES.buffer)],
    ["a part of a buffer", new Uint8Array([0, 1, 2, 3, 4, 5]).subarray(1, 5)],
    ["an Int16Array", new Int16Array(BYTES.buffer)],
  ] as const
) {
  Deno.test(`${name} goes as its bytes`, () => {
    const { body, contentType } = codecs.encode(payload);
    assertEquals(contentType, "application/data");
    assertEquals(new Uint8Array(body), BYTES);
  });
}

Deno.test("a text with half a surrogate pair is refused: UTF-8 would change it", () => {
  assertThrows(() => codecs.encode("a\ud800"), EncodeError, "surrogate");
});
