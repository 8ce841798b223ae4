import { assertEquals } from "@std/assert";
import {
  fillDefaults,
  formatUrl,
  parseUrl,
  type UrlDefaults,
} from "../../url/mod.ts";

const REDIS: UrlDefaults = {
  hostname: "localhost",
  port: 6379,
  virtualHost: "/",
};
const NONE: UrlDefaults = { hostname: "localhost", virtualHost: "/" };

/** The URLs that Kombu prints for people. */
const MASKED: readonly (readonly [string, UrlDefaults, string])[] = [
  ["redis://h", REDIS, "redis://h:6379//"],
  ["redis://:pw@h/2", REDIS, "redis://:**@h:6379/2"],
  ["redis://h//3", REDIS, "redis://h:6379//3"],
  ["sentinel://a:1", { ...REDIS, port: 26_379 }, "sentinel://a:1//"],
  ["filesystem://", NONE, "filesystem://localhost//"],
  ["http://u:p@e.com//foo", {}, "http://u:**@e.com//foo"],
  ["amqp://u:p@h/v?password=x#y", {}, "amqp://u:**@h/v"],
  ["amqp://u@h/v", {}, "amqp://u:**@h/v"],
  ["nats://token@h/v", {}, "nats://**@h/v"],
  ["tls://token@h/v", {}, "tls://**@h/v"],
  ["nats://u:p@h/v", {}, "nats://u:**@h/v"],
];

for (const [text, defaults, expected] of MASKED) {
  Deno.test(`formatUrl() masks ${text} as ${expected}`, () => {
    assertEquals(formatUrl(fillDefaults(parseUrl(text), defaults)), expected);
  });
}

/** Kombu's as_url: what is given comes out, and always a slash. */
const PLAIN: readonly (readonly [string, string])[] = [
  ["https://", "https:///"],
  ["https://e.com", "https://e.com/"],
  ["https://e.com:80", "https://e.com:80/"],
  ["https://u@e.com:80", "https://u@e.com:80/"],
  ["https://u:p@e.com:80", "https://u:p@e.com:80/"],
  ["https://:p@e.com:80", "https://:p@e.com:80/"],
  ["https://:p@e.com:80//foo", "https://:p@e.com:80//foo"],
  ["amqp://u:a%20b@h/c%20d", "amqp://u:a%20b@h/c%20d"],
];

for (const [text, expected] of PLAIN) {
  Deno.test(`formatUrl() prints ${text} as ${expected}`, () => {
    assertEquals(
      formatUrl(parseUrl(text), { includePassword: true }),
      expected,
    );
  });
}

Deno.test("fillDefaults() fills in what is missing, and the port of TLS under TLS", () => {
  const defaults = {
    port: 5672,
    tlsPort: 5671,
    username: "guest",
    password: "guest",
  };
  const plain = fillDefaults(parseUrl("amqp://u@h:0"), defaults);
  assertEquals([plain.username, plain.password, plain.port], [
    "u",
    "guest",
    5672,
  ]);
  const secure = fillDefaults(parseUrl("amqps://h"), defaults, { tls: true });
  assertEquals([secure.port, secure.hosts[0]?.port], [5671, 5671]);
});

Deno.test("what has no form in UTF-8 is written all the same, for errors show URLs", () => {
  const url = { ...parseUrl("amqp://u:p@h/v"), username: "a\ud800" };
  assertEquals(formatUrl(url), "amqp://a%EF%BF%BD:**@h/v");
});
