import { assertEquals } from "@std/assert";
import { judge } from "../../../cli/ui/guard.ts";

const GATE = { port: 4000, token: "0123456789abcdef" };
const HOST = "127.0.0.1:4000";
const ORIGIN = "http://127.0.0.1:4000";
const COOKIE = "theme=dark; dashi-ui-4000=0123456789abcdef";

function verdict(
  given: string,
  headers: Readonly<Record<string, string>>,
): string {
  const [method = "", target = ""] = given.split(" ");
  const { pathname, searchParams } = new URL(target, ORIGIN);
  const result = judge({
    method,
    path: pathname,
    query: searchParams,
    header: (name) => headers[name],
  }, GATE);
  return result.kind === "refused" ? String(result.status) : result.kind;
}

for (
  const [title, given, headers, expected] of [
    ["the link", "GET /?token=0123456789abcdef", { host: HOST }, "login"],
    ["a link that is too short", "GET /?token=0123456789abcde", {
      host: HOST,
    }, "401"],
    ["a link of no token", "GET /?token=", { host: HOST }, "401"],
    ["a link with more behind it", "GET /?token=0123456789abcdef0", {
      host: HOST,
    }, "401"],
    ["the link, by a name that leads there", "GET /?token=0123456789abcdef", {
      host: "evil.example:4000",
    }, "403"],
    ["the link of another port", "GET /?token=0123456789abcdef", {
      host: "127.0.0.1:4001",
    }, "403"],
    ["no host", "GET /", { cookie: COOKIE }, "403"],
    ["the page", "GET /", { host: HOST, cookie: COOKIE }, "welcome"],
    ["the page, as localhost", "GET /", {
      host: "localhost:4000",
      cookie: COOKIE,
    }, "welcome"],
    ["the page, typed by its user", "GET /", {
      host: HOST,
      cookie: COOKIE,
      "sec-fetch-site": "none",
    }, "welcome"],
    ["the page without the cookie", "GET /", { host: HOST }, "401"],
    ["the page with another cookie", "GET /", {
      host: HOST,
      cookie: "dashi-ui-4001=0123456789abcdef",
    }, "401"],
    ["the token where no token is read", "GET /events?token=0123456789abcdef", {
      host: HOST,
    }, "401"],
    ["the page in a frame of another site", "GET /", {
      host: HOST,
      cookie: COOKIE,
      "sec-fetch-site": "cross-site",
    }, "403"],
    ["events for another port of this machine", "GET /events", {
      host: HOST,
      cookie: COOKIE,
      "sec-fetch-site": "same-site",
    }, "403"],
    ["events for another origin", "GET /events", {
      host: HOST,
      cookie: COOKIE,
      origin: "http://127.0.0.1:4001",
    }, "403"],
    ["events for the page", "GET /events", {
      host: HOST,
      cookie: COOKIE,
      "sec-fetch-site": "same-origin",
    }, "welcome"],
    ["a change by the page", "POST /purge", {
      host: HOST,
      cookie: COOKIE,
      origin: ORIGIN,
    }, "welcome"],
    ["a change by nobody's page", "POST /purge", {
      host: HOST,
      cookie: COOKIE,
    }, "403"],
    ["a change by another page", "POST /purge", {
      host: HOST,
      cookie: COOKIE,
      origin: "http://evil.example",
    }, "403"],
    ["a change by a page without an origin", "POST /purge", {
      host: HOST,
      cookie: COOKIE,
      origin: "null",
    }, "403"],
    ["a change without the cookie", "POST /purge", {
      host: HOST,
      origin: ORIGIN,
    }, "401"],
    ["another method", "PUT /", { host: HOST, cookie: COOKIE }, "405"],
  ] as const
) {
  Deno.test(`dashi ui: ${title} ... ${expected}`, () => {
    assertEquals(verdict(given, headers), expected);
  });
}
