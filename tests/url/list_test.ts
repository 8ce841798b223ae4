import { assertEquals, assertThrows } from "@std/assert";
import { parseUrlList } from "../../url/mod.ts";

const list = (input: string | URL | readonly (string | URL)[]) =>
  parseUrlList(input, { scheme: "amqp" }).map((url) => [
    url.scheme,
    url.hostname,
    url.username,
    url.password,
    url.port,
    url.virtualHost,
  ]);
const _ = undefined;

const CASES: readonly (readonly [
  string,
  string | URL | readonly (string | URL)[],
  readonly (readonly unknown[])[],
])[] = [
  ["nothing", "", [["amqp", _, _, _, _, _]]],
  ["an empty array", [], [["amqp", _, _, _, _, _]]],
  ["a bare host", "example.com", [["amqp", "example.com", _, _, _, _]]],
  ["a host and a port", "h:1", [["amqp", "h", _, _, 1, _]]],
  ["all without a scheme", "u:p@h:1/v", [["amqp", "h", "u", "p", 1, "v"]]],
  ["a URL object", new URL("amqp://u:p@h:1/v"), [[
    "amqp",
    "h",
    "u",
    "p",
    1,
    "v",
  ]]],
  ["each for itself", "amqp://u:p@a:1234/v1;amqp://b", [
    ["amqp", "a", "u", "p", 1234, "v1"],
    ["amqp", "b", _, _, _, _],
  ]],
  [
    "a bare host has the parts that it lacks from the first",
    "amqp://u:p@a:1234/v1;b",
    [
      ["amqp", "a", "u", "p", 1234, "v1"],
      ["amqp", "b", "u", "p", 1234, "v1"],
    ],
  ],
  ["a bare host's own credentials", "amqp://u:p@a;x:y@b:9/w", [
    ["amqp", "a", "u", "p", _, _],
    ["amqp", "b", "x", "y", 9, "w"],
  ]],
  ["no empty entries", "a;b;", [
    ["amqp", "a", _, _, _, _],
    ["amqp", "b", _, _, _, _],
  ]],
  ["lists in arrays", ["amqp://a;amqp://b", "memory://c"], [
    ["amqp", "a", _, _, _, _],
    ["amqp", "b", _, _, _, _],
    ["memory", "c", _, _, _, _],
  ]],
];

for (const [name, input, expected] of CASES) {
  Deno.test(`parseUrlList() reads ${name}`, () => {
    assertEquals(list(input), [...expected.map((each) => [...each])]);
  });
}

Deno.test("parseUrlList() keeps the parameters of each URL apart", () => {
  const [a, b] = parseUrlList("amqp://a?ssl=1;amqp://b", { scheme: "amqp" });
  assertEquals([a?.query, b?.query], [{ ssl: "1" }, {}]);
});

Deno.test("parseUrlList() takes one host in a URL where the scheme is not said to take several", () => {
  for (const url of ["amqp://a,b", "a,b"]) {
    assertThrows(() => parseUrlList(url, { scheme: "amqp" }), SyntaxError);
    const [{ hosts = [] } = {}] = parseUrlList(url, {
      scheme: "amqp",
      severalHosts: (scheme) => scheme === "amqp",
    });
    assertEquals(hosts.map(({ hostname }) => hostname), ["a", "b"]);
  }
});

Deno.test("a path behind a scheme and a colon is no port, and the error says how a scheme ends", () => {
  assertThrows(
    () => parseUrlList("mine:./a.db", { scheme: "mine" }),
    SyntaxError,
    'a scheme ends with "://"',
  );
});
