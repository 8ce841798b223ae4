import { assert, assertEquals } from "@std/assert";
import type { Binding } from "../../model/binding.ts";
import type { FieldTable, FieldValue } from "../../model/field_table.ts";
import { matchHeaders } from "../../virtual/headers.ts";
import { HeadersIndex } from "../../virtual/headers_index.ts";

function bindingOf(queue: string, arguments_: FieldTable): Binding {
  return {
    source: "h",
    destination: { kind: "queue", name: queue },
    routingKey: "",
    arguments: arguments_,
  };
}

/** Values that are the same to RabbitMQ, and some that are nearly. */
const VALUES: readonly FieldValue[] = [
  "pdf",
  new TextEncoder().encode("pdf"),
  "1",
  1,
  1n,
  0,
  -0,
  1.5,
  true,
  null,
  new Date(1000),
  new Date(1400),
  ["a", 1],
  { a: 1 },
];
const NAMES = ["format", "pages", "x-kind", "constructor"];
const MATCHES = [undefined, "all", "any", "all-with-x", "any-with-x"];

/** Numbers that look like chance, and are the same in each run. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

function tableOf(next: (below: number) => number): FieldTable {
  const table: Record<string, FieldValue> = {};
  for (const name of NAMES) {
    const value = VALUES[next(VALUES.length * 2)];
    if (value !== undefined) table[name] = value;
  }
  return table;
}

Deno.test("an index of headers finds what each binding by itself matches, added and removed", () => {
  const next = chance(7);
  let [found, met] = [0, 0];
  for (let round = 0; round < 200; round++) {
    const index = new HeadersIndex();
    const bindings: Binding[] = [];
    for (let i = 0; i < 12; i++) {
      const match = MATCHES[next(MATCHES.length)];
      const arguments_ = {
        ...tableOf(next),
        ...(match === undefined ? {} : { "x-match": match }),
      };
      const binding = bindingOf(`q${i}`, arguments_);
      index.add(binding);
      bindings.push(binding);
    }
    for (let i = 0; i < 4; i++) {
      const [gone] = bindings.splice(next(bindings.length), 1);
      if (gone !== undefined) index.remove(gone);
    }
    for (let i = 0; i < 20; i++) {
      const headers = i === 0 ? undefined : tableOf(next);
      const names: string[] = [];
      index.match(
        "",
        headers,
        ({ destination }) => names.push(destination.name),
      );
      const right = bindings.filter((each) =>
        matchHeaders(each.arguments, headers ?? {})
      ).map(({ destination }) => destination.name);
      assertEquals(names.sort(), right.sort());
      found += names.length;
      met++;
    }
  }
  assert(found > met, `${found} of ${met}`);
});

for (const isLast of [false, true]) {
  Deno.test(`a message costs the bindings that it may match, of ten thousand on one exchange, whose header that tells most comes ${isLast ? "last" : "first"}`, () => {
    let looks = 0;
    const index = new HeadersIndex();
    for (let tenant = 0; tenant < 10_000; tenant++) {
      const { arguments: arguments_, ...binding } = bindingOf(`q${tenant}`, {
        ...(isLast ? { format: "pdf", tenant } : { tenant, format: "pdf" }),
        ...(tenant % 2 === 0 ? {} : { "x-match": "any", format: tenant }),
      });
      index.add({
        ...binding,
        get arguments() {
          looks++;
          return arguments_;
        },
      });
    }
    looks = 0;
    const names: string[] = [];
    index.match("", { format: "pdf", tenant: 42 }, ({ destination }) => {
      names.push(destination.name);
    });
    assertEquals(names, ["q42"]);
    assert(looks <= 3, `${looks} bindings were looked at`);
  });
}
