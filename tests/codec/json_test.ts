import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseJson, stringifyJson, TypedValue } from "../../codec/mod.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";

/** Kombu's text, and the value. Both ways. */
const GOLDEN: readonly (readonly [string, unknown])[] = [
  [
    '{"__type__": "datetime", "__value__": "2020-01-02T03:04:05+00:00"}',
    new Date("2020-01-02T03:04:05Z"),
  ],
  [
    '{"__type__": "datetime", "__value__": "2020-01-02T03:04:05.600000+00:00"}',
    new Date("2020-01-02T03:04:05.600Z"),
  ],
  [
    '{"__type__": "date", "__value__": "2020-01-02"}',
    new TypedValue("date", "2020-01-02"),
  ],
  [
    '{"__type__": "time", "__value__": "03:04:05"}',
    new TypedValue("time", "03:04:05"),
  ],
  [
    '{"__type__": "decimal", "__value__": "1.10"}',
    new TypedValue("decimal", "1.10"),
  ],
  [
    '{"__type__": "uuid", "__value__": {"hex": "1ee0b1e6dd5563d2867f88cb9205458f"}}',
    new TypedValue("uuid", { hex: "1ee0b1e6dd5563d2867f88cb9205458f" }),
  ],
  [
    '{"__type__": "bytes", "__value__": "abc"}',
    new TextEncoder().encode("abc"),
  ],
  ['{"__type__": "base64", "__value__": "//4="}', Uint8Array.of(255, 254)],
  ['{"__type__": "bytes", "__value__": ""}', new Uint8Array(0)],
  ["12345678901234567890123", 12345678901234567890123n],
  ['{"a": [1, null, "x", true, 1.5]}', { a: [1, null, "x", true, 1.5] }],
  ["{}", {}],
  ['"é董"', "é董"],
];

for (const [text, value] of GOLDEN) {
  Deno.test(`parseJson() and stringifyJson() have ${text} both ways`, () => {
    assertEquals(parseJson(text), value);
    assertEquals(JSON.parse(stringifyJson(value)), JSON.parse(text));
    assertEquals(parseJson(stringifyJson({ deep: [value] })), {
      deep: [value],
    });
  });
}

const READ: readonly (readonly [string, unknown])[] = [
  ["NaN", NaN],
  ["[Infinity, -Infinity, 1]", [Infinity, -Infinity, 1]],
  ['{"a": NaN, "b": "NaN, Infinity \\" -Infinity"}', {
    a: NaN,
    b: 'NaN, Infinity " -Infinity',
  }],
  ['"\\ud800"', "\ud800"],
  ['"\\u00e9"', "é"],
  ["9007199254740991", 9007199254740991],
  ["9007199254740993", 9007199254740993n],
  ["-9007199254740993", -9007199254740993n],
  ['"9007199254740993"', "9007199254740993"],
  ["1e400", Infinity],
  ['{"a": 1, "a": 2}', { a: 2 }],
  [
    '{"__type__": "datetime", "__value__": "2020-01-02T03:04:05.123456"}',
    new Date("2020-01-02T03:04:05.123Z"),
  ],
  [
    '{"__type__": "datetime", "__value__": "2020-01-02T03:04:05+02:00"}',
    new Date("2020-01-02T01:04:05Z"),
  ],
  [
    '{"__type__": "datetime", "__value__": "2020-01-02T03:04:05Z"}',
    new Date("2020-01-02T03:04:05Z"),
  ],
  ['{"__type__": "x", "__value__": 1, "more": 2}', {
    __type__: "x",
    __value__: 1,
    more: 2,
  }],
  ['{"__type__": "x"}', { __type__: "x" }],
];

for (const [text, value] of READ) {
  Deno.test(`parseJson() reads ${text}`, () => {
    assertEquals(parseJson(text), value);
  });
}

const UNREADABLE = [
  "",
  "{",
  "nan",
  "[1,]",
  '{"__type__": "object", "__value__": {}}',
  '{"__type__": "datetime", "__value__": "yesterday"}',
  '{"__type__": "base64", "__value__": "!"}',
  '{"__type__": "bytes", "__value__": 7}',
  "NaNa",
];

for (const text of UNREADABLE) {
  Deno.test(`parseJson() refuses ${text || "nothing"}`, () => {
    assertThrows(() => parseJson(text), DecodeError);
  });
}

Deno.test("parseJson() does not pollute prototypes", () => {
  const text =
    '{"__proto__": {"polluted": 1}, "x": {"__type__": "date", "__value__": "2020-01-02"}}';
  const value = parseJson(text);
  assert(typeof value === "object" && value !== null);
  assertEquals(Object.keys(value), ["__proto__", "x"]);
  assertEquals(Object.getPrototypeOf(value), Object.prototype);
  assertEquals("polluted" in {}, false);
});

const circle: Record<string, unknown> = {};
circle.self = circle;

const UNWRITABLE: readonly (readonly [string, unknown, string])[] = [
  ["undefined", undefined, "undefined"],
  ["NaN", { a: NaN }, "payload.a"],
  ["Infinity", [Infinity], "payload[0]"],
  ["a function", { f() {} }, "payload.f"],
  ["a symbol", [Symbol()], "payload[0]"],
  ["a Map", { m: new Map() }, "Map"],
  ["a Set", new Set(), "Set"],
  ["an invalid Date", new Date(NaN), "Date"],
  [
    "a look-alike of a typed value",
    { __type__: "date", __value__: "x" },
    "TypedValue",
  ],
  [
    "an object that contains itself",
    circle,
    "payload.self as JSON: it contains itself",
  ],
];

for (const [name, value, words] of UNWRITABLE) {
  Deno.test(`stringifyJson() refuses ${name}`, () => {
    const { message } = assertThrows(() => stringifyJson(value), EncodeError);
    assert(message.includes(words), message);
  });
}

Deno.test("stringifyJson() writes a bigint with all its digits", () => {
  assertEquals(stringifyJson({ n: 2n ** 70n }), '{"n":1180591620717411303424}');
});

Deno.test("stringifyJson() honours toJSON, and drops undefined in objects", () => {
  assertEquals(
    stringifyJson({
      a: { toJSON: () => ({ b: new TypedValue("decimal", "1") }) },
      c: undefined,
    }),
    '{"a":{"b":{"__type__":"decimal","__value__":"1"}}}',
  );
});

Deno.test("parseJson() refuses typed values that are nested too deeply", () => {
  const depth = 100_000;
  const typed = '{"__type__":"date","__value__":"2024-05-06"}';
  assertThrows(
    () => parseJson("[".repeat(depth) + typed + "]".repeat(depth)),
    DecodeError,
    "too deeply",
  );
});
