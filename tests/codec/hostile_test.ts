import { assert, assertEquals, assertThrows } from "@std/assert";
import { createCodecRegistry } from "../../codec/mod.ts";
import { DecodeError } from "../../model/errors.ts";

const codecs = createCodecRegistry();

async function decode(
  text: string,
  contentType = "application/json",
  contentEncoding: string = "utf-8",
): Promise<unknown> {
  await codecs.prepare(contentType);
  const body = new TextEncoder().encode(text);
  return codecs.decode(body, { contentType, contentEncoding });
}

const JSON_TYPE = "application/json";
const YAML_TYPE = "application/x-yaml";

/** Bodies of so many parts on which a reader that looks at anything twice takes minutes. */
const SHAPES: Readonly<
  Record<string, readonly [string, (n: number) => string]>
> = {
  "a quote, then escaped quotes": [JSON_TYPE, (n) => 'NaN"' + '\\"'.repeat(n)],
  "the same within an object": [
    JSON_TYPE,
    (n) => '{"a": NaN, "b": "' + '\\"'.repeat(n),
  ],
  "quotes and backslashes in turn": [JSON_TYPE, (n) => "NaN" + '"\\'.repeat(n)],
  "backslashes alone": [JSON_TYPE, (n) => 'NaN"' + "\\".repeat(n)],
  "quotes, and the first letters of words": [
    JSON_TYPE,
    (n) => "NaN" + 'I"'.repeat(n),
  ],
  "minus signs": [JSON_TYPE, (n) => "NaN" + "-".repeat(n)],
  "words without their last letters": [
    JSON_TYPE,
    (n) => "NaN" + "-Infinit".repeat(n),
  ],
  "brackets": [JSON_TYPE, (n) => "NaN" + "[".repeat(n)],
  "digits": [JSON_TYPE, (n) => "1".repeat(16 * n)],
  "digits of a typed value": [
    JSON_TYPE,
    (n) => `{"__type__": "base64", "__value__": ${"1".repeat(n)}}`,
  ],
  "a datetime of many offsets": [
    JSON_TYPE,
    (n) =>
      `{"__type__": "datetime", "__value__": "${"+00:00:00.1".repeat(n)}"}`,
  ],
  "digits in YAML": [YAML_TYPE, (n) => "1".repeat(16 * n)],
  "octal digits in YAML": [YAML_TYPE, (n) => "0" + "7".repeat(n)],
  "minutes of minutes in YAML": [YAML_TYPE, (n) => "1" + ":1".repeat(n) + "."],
  "a timestamp's spaces in YAML": [
    YAML_TYPE,
    (n) => "2020-01-01" + " ".repeat(n) + "x",
  ],
};

for (const [name, [type, make]] of Object.entries(SHAPES)) {
  Deno.test(`${type}: a body's time grows as it does: ${name}`, async () => {
    const began = performance.now();
    await decode(make(300_000), type).catch((error) => {
      if (!(error instanceof DecodeError)) throw error;
    });
    // Milliseconds where each character is looked at once; else minutes.
    const took = performance.now() - began;
    assert(took < 15_000, `it took ${took} ms`);
  });
}

Deno.test("an integer of more digits than Python reads is refused, in JSON and YAML", async () => {
  const most = 10n ** 4299n;
  assertEquals(await decode(String(most)), most);
  assertEquals(await decode(`-${most}`), -most);
  assertEquals(await decode(`[NaN, ${most}]`), [NaN, most]);
  assertEquals(await decode(String(most), YAML_TYPE), most);
  for (const type of [JSON_TYPE, YAML_TYPE]) {
    const error = await decode(`[${most}0]`, type).catch((each) => each);
    assert(error instanceof DecodeError);
    assert(error.message.includes("4301 digits"));
  }
});

Deno.test("Python's bare words are words alone, and no text is taken for one", async () => {
  assertEquals(
    await decode('[NaN, -Infinity, "NaN", "\\"NaN", "\\\\", Infinity]'),
    [NaN, -Infinity, "NaN", '"NaN', "\\", Infinity],
  );
  assertEquals(await decode('[NaN, "\ue0da7", "\\ue0da7"]'), [
    NaN,
    "\ue0da7",
    "\ue0da7",
  ]);
  for (const text of ["{NaN: 1}", "NaNNaN", "-NaN", "[NaN", '"NaN']) {
    assertThrows(
      () =>
        codecs.decode(new TextEncoder().encode(text), {
          contentType: JSON_TYPE,
        }),
      DecodeError,
    );
  }
});

Deno.test("the content encoding binary is known in capitals too", async () => {
  assertEquals(await decode("5", JSON_TYPE, "BINARY"), 5);
  assertEquals(await decode("5", JSON_TYPE, "Ascii-8Bit"), 5);
  assertEquals(await decode("a: 5", YAML_TYPE, "BINARY"), { a: 5 });
  assertEquals(await decode("5", "text/csv", "BINARY"), Uint8Array.of(0x35));
});

const LONG = "A".repeat(5_000_000);
const EVIL = "\x1b]0;owned\x07\r\n\u009b31m";
const typed = (type: string, value: string) =>
  JSON.stringify({ __type__: type, __value__: value });

const TOLD: Readonly<Record<string, () => unknown>> = {
  "a datetime": () => decode(typed("datetime", EVIL)),
  "a long datetime": () => decode(typed("datetime", LONG)),
  "an unknown type": () => decode(typed(EVIL, "x")),
  "a long type": () => decode(typed(LONG, "x")),
  "a content type": () =>
    codecs.decode(new Uint8Array(), {
      contentType: `a/${EVIL}${LONG}`,
      accept: new Set(["application/json"]),
    }),
  "an encoding": () => decode("x", "text/plain", EVIL),
  "a long encoding": () => decode("x", "text/plain", LONG),
  "a compression": () =>
    codecs.decode(new Uint8Array(), { compression: EVIL + LONG }),
  "a body of JSON": () => decode(EVIL + LONG),
  "a body of YAML": () => decode(`{${EVIL}${LONG}`, YAML_TYPE),
  "a serializer": () => codecs.encode(1, { serializer: EVIL + LONG }),
  "a compression to use": () => codecs.encode(1, { compression: EVIL + LONG }),
  "a name of a payload": () =>
    codecs.encode({ [EVIL + LONG]: NaN }, { serializer: "json" }),
  "a type to accept": () => codecs.acceptSet([EVIL + LONG]),
};

for (const [name, act] of Object.entries(TOLD)) {
  Deno.test(`an error's text is short and shows nothing that a terminal obeys: ${name}`, async () => {
    const error: unknown = await Promise.try(act).then(
      () => undefined,
      (each) => each,
    );
    assert(error instanceof Error);
    assert(error.message.length < 2000, `${error.message.length} characters`);
    assert(!/\p{Cc}/u.test(error.message), JSON.stringify(error.message));
    const shown = Deno.inspect(error, { colors: false });
    assert(!/[^\P{Cc}\n]/u.test(shown), JSON.stringify(shown));
    assert(shown.length < 20_000);
  });
}
