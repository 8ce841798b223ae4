import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type BrokerUrl,
  formatUrl,
  parseUrl,
  parseUrlList,
} from "../../url/mod.ts";

type Parts = readonly [
  hostname?: string | undefined,
  port?: number | undefined,
  username?: string | undefined,
  password?: string | undefined,
  virtualHost?: string | undefined,
  query?: Readonly<Record<string, string>>,
];
const _ = undefined;

/** The parts that Kombu's own parser reads from them. */
const GOLDEN: readonly (readonly [string, Parts])[] = [
  ["amqp://", []],
  ["amqp://:@/", []],
  ["amqp://user@/", [_, _, "user"]],
  ["amqp://user:@host", ["host", _, "user"]],
  ["amqp://user:pass@host:10000/vhost", [
    "host",
    10000,
    "user",
    "pass",
    "vhost",
  ]],
  ["amqp://user%61:%61pass@ho%61st:10000/v%2fhost", [
    "hoast",
    10000,
    "usera",
    "apass",
    "v/host",
  ]],
  ["amqp://host//", ["host", _, _, _, "/"]],
  ["amqp://host/%2F", ["host", _, _, _, "/"]],
  ["amqp://host", ["host"]],
  ["amqp://host/", ["host"]],
  ["amqp://host//foo", ["host", _, _, _, "/foo"]],
  ["amqp://host/foo", ["host", _, _, _, "foo"]],
  ["amqp://:10000", [_, 10000]],
  ["amqp:///vhost", [_, _, _, _, "vhost"]],
  ["AMQP://Host/V", ["host", _, _, _, "V"]],
  ["amqp://u:p%40ss%2Fw@h/", ["h", _, "u", "p@ss/w"]],
  ["amqp://u:p@ss@h/", ["h", _, "u", "p@ss"]],
  ["amqp://user+name:p+w@h/", ["h", _, "user+name", "p+w"]],
  ["amqp://[::1]:5672/x", ["::1", 5672, _, _, "x"]],
  ["amqp://[::1]", ["::1"]],
  ["amqp://h:0/", ["h", 0]],
  ["amqp://h/v?ssl=1&heartbeat=10", ["h", _, _, _, "v", {
    ssl: "1",
    heartbeat: "10",
  }]],
  ["amqp://h/v?heartbeat=10&heartbeat=20", ["h", _, _, _, "v", {
    heartbeat: "20",
  }]],
  ["amqp://h/v?a=", ["h", _, _, _, "v"]],
  ["amqp://h/v#frag", ["h", _, _, _, "v"]],
  ["amqp://h/v+1?k=a+b", ["h", _, _, _, "v+1", { k: "a b" }]],
  ["amqp://h/a/../b", ["h", _, _, _, "a/../b"]],
  ["redis://:pw@h:6379/0", ["h", 6379, _, "pw", "0"]],
  ["redis://localhost:6379/", ["localhost", 6379]],
  ["redis+socket:///var/run/redis.sock", [_, _, _, _, "var/run/redis.sock"]],
  ["sqs://AK%2FID:SE%2FCRET@", [_, _, "AK/ID", "SE/CRET"]],
];

for (const [text, parts] of GOLDEN) {
  Deno.test(`parseUrl() reads ${text}`, () => {
    const url = parseUrl(text);
    const [hostname, port, username, password, virtualHost, query = {}] = parts;
    assertEquals(url, {
      scheme: text.slice(0, text.indexOf(":")).toLowerCase(),
      username,
      password,
      hosts: [{ hostname, port }],
      hostname,
      port,
      virtualHost,
      query: { ...query },
    });
  });
}

const BAD: readonly (readonly [string, ...string[]])[] = [
  ["amqp://h:abc/", "port", "65535"],
  ["amqp://h:99999/", "port", "65535"],
  ["amqp://u:a/b@h/", '"/"', "%2F"],
  ["amqp://u:a?b@h/", '"?"', "%3F"],
  ["amqp://u:a#b@h/", '"#"', "%23"],
  ["amqp://u:%zz@h/", "password", "%25"],
  ["amqp://[::1/x", "[", "]"],
  ["amqp://[::1]x/", "]"],
  ["amqp://[zz]/", "IPv6", "[::1]"],
  ["amqp://[]/", "IPv6", "[::1]"],
  ["amqp://h/\ud800", "virtual host", "surrogate"],
  ["amqp://u:\udfff@h/", "password", "surrogate"],
  ["a_b://h/", "scheme"],
  ["localhost", "scheme"],
  ["amqp://a:1,b:2/", ";"],
];

for (const [text, ...words] of BAD) {
  Deno.test(`parseUrl() refuses ${text}`, () => {
    const { message } = assertThrows(() => parseUrl(text), SyntaxError);
    for (const word of words) assert(message.includes(word), message);
  });
}

Deno.test("parseUrl() never shows what may be a password", () => {
  for (const secret of ["hunter/2", "hunter?2", "hunter#2", "hunter%2"]) {
    const { message } = assertThrows(
      () => parseUrl(`amqp://user:${secret}@h/`),
      SyntaxError,
    );
    assert(!message.includes("hunter"), message);
  }
});

Deno.test("parseUrl() takes several hosts where they are allowed", () => {
  const url = parseUrl("mongodb://u:p@a:1,b:2,[::1]/db", {
    severalHosts: true,
  });
  assertEquals(url.hosts, [
    { hostname: "a", port: 1 },
    { hostname: "b", port: 2 },
    { hostname: "::1", port: undefined },
  ]);
  assertEquals([url.hostname, url.port, url.virtualHost], ["a", 1, "db"]);
});

Deno.test("parseUrl() keeps odd names of parameters as names", () => {
  const { query } = parseUrl("amqp://h/?__proto__=1&constructor=2");
  assertEquals(Object.keys(query), ["__proto__", "constructor"]);
  assertEquals(Object.getPrototypeOf(query), Object.prototype);
});

Deno.test("parseUrl() undoes formatUrl(), whatever the parts", () => {
  let seed = 7;
  const random = (most: number) =>
    (seed = (seed * 1103515245 + 12345) % 2 ** 31) % most;
  const letters = [..."ab1:/@?#%&=+;,.[]()!'* é董~-_"];
  const text = () =>
    Array.from({ length: 1 + random(8) }, () => letters[random(letters.length)])
      .join("");
  const maybe = <T>(make: () => T) => random(4) === 0 ? undefined : make();
  for (let i = 0; i < 2000; i++) {
    const hostname = maybe(() =>
      random(5) === 0 ? "::1" : text().toLowerCase().replaceAll(":", "")
    );
    const port = maybe(() => 1 + random(65_535));
    const name = hostname === "" ? undefined : hostname;
    const url: BrokerUrl = {
      scheme: "amqp",
      username: maybe(text),
      password: maybe(text),
      hosts: [{ hostname: name, port }],
      hostname: name,
      port,
      virtualHost: maybe(text),
      query: Object.fromEntries([[text(), text()]]),
    };
    const formatted = formatUrl(url, { includePassword: true });
    assertEquals(parseUrl(formatted), url, formatted);
  }
});

Deno.test("the URL of a file is its path behind the scheme, relative or from the root", () => {
  for (
    const [text, path, printed] of [
      ["sqlite:./orders.db", "./orders.db", "sqlite:./orders.db"],
      ["sqlite:orders.db?poll=5", "orders.db", "sqlite:orders.db"],
      ["sqlite:///orders.db", "orders.db", "sqlite:orders.db"],
      ["sqlite:/var/a@b/o.db", "/var/a@b/o.db", "sqlite:/var/a%40b/o.db"],
      ["sqlite:////var/o.db", "/var/o.db", "sqlite:/var/o.db"],
      ["SQLite::memory:", ":memory:", "sqlite::memory:"],
    ] as const
  ) {
    const url = parseUrl(text);
    assertEquals([url.hostname, url.virtualHost], [undefined, path]);
    assertEquals(formatUrl(url), printed);
    const [again] = parseUrlList(text, { scheme: "amqp" });
    assertEquals(again, url);
    const whole = formatUrl(url, { includePassword: true });
    assertEquals(parseUrl(whole), url);
  }
});
