import { assertEquals, assertThrows } from "@std/assert";
import { YAML_CODEC } from "../../codec/yaml.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";

const text = (body: Uint8Array) => new TextDecoder().decode(body);
const bytes = (body: string) => new TextEncoder().encode(body);
const read = (body: string) => YAML_CODEC.decode(bytes(body), "utf-8");

const ROUND_TRIPS: readonly (readonly [string, unknown])[] = [
  ["an object", { a: [1, 2.5, null, true, "é"] }],
  ["texts that look like something else", ["yes", "012", "1:20", "null", ""]],
  ["a date", { at: new Date(Date.UTC(2024, 0, 2, 3, 4, 5)) }],
  ["bytes", { data: Uint8Array.of(0, 255) }],
  ["no number", [NaN, Infinity, -Infinity]],
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

for (const payload of [undefined, () => 1, 123n, new Map()]) {
  Deno.test(`yaml: ${typeof payload} is an EncodeError`, () => {
    assertThrows(() => YAML_CODEC.encode(payload), EncodeError, "as YAML");
  });
}
