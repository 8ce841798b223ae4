import { assert, assertEquals } from "@std/assert";
import { applied, type Mutant, mutantsOf } from "./operators.ts";
import { sampleOf } from "./sample.ts";

/** Lists the changes of a source, by the operator. */
function changesOf(text: string): [operator: string, text: string][] {
  return mutantsOf("x.ts", text).map((mutant) => [
    mutant.operator.split(" in ")[0] ?? "",
    applied(text, mutant),
  ]);
}

const CASES: readonly (readonly [
  text: string,
  ...changes: readonly (readonly [operator: string, text: string])[],
])[] = [
  [
    "if (a < b) c();",
    [
      "condition negated",
      "if (!(a < b)) c();",
    ],
    ["condition dropped", "if (true) c();"],
    [
      "comparison turned",
      "if (a <= b) c();",
    ],
    ["call left out", "if (a < b) ;"],
  ],
  ["if (a === b) d = e;", ["condition dropped", "if (true) d = e;"], [
    "comparison turned",
    "if (a !== b) d = e;",
  ], ["assignment left out", "if (a === b) ;"]],
  ["const a = b && !c;", ["&& and || swapped", "const a = (b) || (!c);"], [
    "negation dropped",
    "const a = b && (c);",
  ]],
  ["const a = b ?? 10;", ["left of ?? dropped", "const a = (10);"], [
    "constant off by one",
    "const a = b ?? 11;",
  ]],
  ["async function f() { await g(); }", [
    "call left out",
    "async function f() { ; }",
  ], ["await left out", "async function f() { (g()); }"]],
  ["function f() { return a - b; }", [
    "return dropped",
    "function f() { void (a - b); }",
  ], ["arithmetic turned", "function f() { return a + b; }"]],
  ["function f() { return; }", ["return dropped", "function f() { ; }"]],
  ["const a = b ? true : c;", [
    "condition negated",
    "const a = !(b) ? true : c;",
  ], [
    "truth turned",
    "const a = b ? false : c;",
  ]],
  ["throw a;", ["throw dropped", ";"]],
  // Types are none of it, nor is an await whose promise is returned.
  ["type A = 1 | true; interface B { c: 2 }"],
  ["const f = async () => await g;"],
];

for (const [text, ...changes] of CASES) {
  Deno.test(`a mistake in: ${text}`, () => {
    assertEquals(
      changesOf(text).sort(),
      changes.map((each) => [...each]).sort(),
    );
  });
}

Deno.test("a mutant is named by its function and text, not by its line", () => {
  const source =
    "class A { b() { if (c < d) return 1; } }\nconst e = () => f();";
  const [one] = mutantsOf("x.ts", source);
  const [moved] = mutantsOf("x.ts", `// a comment\n\n${source}`);
  assertEquals(one?.key, moved?.key);
  assertEquals([one?.function, one?.line, moved?.line], ["A.b", 1, 3]);
  const keys = mutantsOf("x.ts", `${source} g = h; g = h;`).map(({ key }) =>
    key
  );
  assertEquals(new Set(keys).size, keys.length);
});

Deno.test("a sample has one of every function before a second of any, and is its seed's", () => {
  const mutants = ["a", "b", "c"].flatMap((name, i) =>
    Array.from({ length: 10 * (i + 1) }, (_, j): Mutant => ({
      file: "x.ts",
      function: name,
      line: j,
      operator: "",
      original: "",
      replacement: "",
      start: 0,
      end: 0,
      around: "",
      key: `${name}${j}`,
    }))
  );
  const keysOf = (count: number, seed: number) =>
    sampleOf(mutants, count, seed).map(({ key }) => key);
  assertEquals(keysOf(3, 1).map(([name]) => name).sort(), ["a", "b", "c"]);
  assertEquals(keysOf(9, 2), keysOf(9, 2));
  assert(keysOf(9, 2).join() !== keysOf(9, 3).join());
  assertEquals(new Set(keysOf(100, 1)).size, 60);
  // A mutant that is added elsewhere leaves the order of the others as it was.
  const [first, ...others] = sampleOf(mutants, 60, 1);
  assertEquals(
    sampleOf(mutants.filter((each) => each !== first), 60, 1).map(({ key }) =>
      key
    ).sort(),
    others.map(({ key }) => key).sort(),
  );
});
