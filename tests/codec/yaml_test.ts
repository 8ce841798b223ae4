import { assertEquals, assertThrows } from "@std/assert";
import { YAML_CODEC } from "../../codec/yaml.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";

const text = (body: Uint8Array) => new TextDecoder().decode(body);
const bytes = (body: string) => new TextEncoder().encode(body);
const read = (body: string) => YAML_CODEC.decode(bytes(body), "utf-8");

const ROUND_TRIPS: readonly (readonly [string, unknown])[] = [
  ["an object", { a: [1, 2.5, null, true, "é"] }],
  ["texts that look like something else", [
    ..."yes y N 012 0o7 1:20 07:08 07:08:09 -.5 1e3 1.e+999 null = << ~ .inf"
      .split(" "),
    ..."2024-05-06 2024-13-45 2024-1-2T03:04:05 1_000 0b1 0x1f -0b2 +1".split(
      " ",
    ),
    "",
  ]],
  ["a date", { at: new Date(Date.UTC(2024, 0, 2, 3, 4, 5)) }],
  ["bytes", { data: Uint8Array.of(0, 255) }],
  ["no number", [NaN, Infinity, -Infinity]],
  ["integers beyond 2^53", [2n ** 53n + 1n, -(2n ** 70n), 10n ** 400n]],
];

for (const [name, payload] of ROUND_TRIPS) {
  Deno.test(`yaml: ${name} comes back as it was`, () => {
    const body = YAML_CODEC.encode(payload);
    assertEquals(YAML_CODEC.decode(body, "utf-8"), payload);
  });
}

Deno.test("yaml: words of YAML 1.1 have its meaning", () => {
  assertEquals(read("a: yes\nb: 012\nc: 1:20"), { a: true, b: 10, c: 80 });
  assertEquals(text(YAML_CODEC.encode({ a: "yes" })).trim(), "a: 'yes'");
});

Deno.test("yaml: a text that PyYAML writes without quotes is a text", () => {
  assertEquals(
    read("[y, N, 07:08, 0:20, 07:08:09, -.5, +.5, 1e3, 1.5e3, ., =]"),
    [
      ...["y", "N", "07:08", "0:20", "07:08:09", "-.5", "+.5", "1e3", "1.5e3"],
      ...[".", "="],
    ],
  );
});

Deno.test("yaml: numbers in all forms of PyYAML, and of any size", () => {
  assertEquals(
    read(
      "[0x1F, -0b11, 0_17, 1_000, 1:20, -1:20, 1.5, .5, 1.e+3, 1:20.5, -.inf, 0x20_0000_0000_0001, -9007199254740993, 0o17]",
    ),
    [
      ...[31, -3, 15, 1000, 80, -80, 1.5, 0.5, 1000, 80.5, -Infinity],
      ...[2n ** 53n + 1n, -(2n ** 53n) - 1n, "0o17"],
    ],
  );
  assertEquals(read("[!!int '012', !!float '-.5', !!bool 'y']"), [
    10,
    -0.5,
    true,
  ]);
});

Deno.test("yaml: a text that PyYAML would read as something else, or refuse, is quoted", () => {
  for (const each of ["=", "2024-13-45", "1.e+999", "0_", "y", "1e3"]) {
    assertEquals(text(YAML_CODEC.encode(each)), `'${each}'\n`);
  }
});

const REFUSED: readonly (readonly [string, string])[] = [
  ["a tag that would run code", "!!python/object/apply:os.system ['x']"],
  ["a list without its end", "a: ["],
  ["nothing", ""],
  ["two documents", "a: 1\n---\nb: 2"],
];

for (const [name, body] of REFUSED) {
  Deno.test(`yaml: ${name} is a DecodeError`, () => {
    assertThrows(() => read(body), DecodeError, "as YAML");
  });
}

Deno.test("yaml: bytes that are no UTF-8 are a DecodeError", () => {
  assertThrows(
    () => YAML_CODEC.decode(Uint8Array.of(255), "utf-8"),
    DecodeError,
  );
});

for (const payload of [undefined, () => 1, new Map()]) {
  Deno.test(`yaml: ${typeof payload} is an EncodeError`, () => {
    assertThrows(() => YAML_CODEC.encode(payload), EncodeError, "as YAML");
  });
}
