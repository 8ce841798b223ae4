import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection } from "../../mod.ts";
import { reach } from "../conformance/reach.ts";

const SECRET = "Zx9sEcReTpw";

/** URLs with a mistake, most of them a character of the password that is not encoded. */
const MISTAKES: readonly string[] = [
  ...["amqp", "amqps", "pika", "redis", "couchdb", "beanstalk", "mongodb"]
    .flatMap((scheme) => [
      `${scheme}://user:PW;x@host/v`,
      `${scheme}://user:12;PW@host/v`,
      `${scheme}://user:PW/x@host/v`,
      `${scheme}://user:123/PW@host/v`,
      `${scheme}://user:PW?x=1@host`,
      `${scheme}://user:12?PW@host`,
      `${scheme}://user:12?PW=1@host`,
      `${scheme}://user:12?a=PW@host`,
      `${scheme}://user:12#PW@host`,
      `${scheme}://user:PW#1@host`,
      `${scheme}://user:12/PW?ab@host`,
      `${scheme}://user:%zzPW@host`,
      `${scheme}://[user:PW/@host`,
      `${scheme}://[::1]PW`,
      `${scheme}//user:PW@host`,
      `${scheme}:/user:PW@host`,
      `${scheme}:///user:PW@host`,
      `${scheme}://user:PW`,
      `${scheme}://user:PW/`,
      `${scheme}://user:PW@host:x`,
      `${scheme}://user:x@host:PW`,
      `${scheme}://user:x@host:99999PW/`,
      `${scheme}://user:x@host;y:PW`,
    ]),
  "amqp://user:a,PW/x@host/v",
  "amqp://user:PW,x/y",
  "amqp://user:PW@h1,h2/",
  "amqp://user:PW@h1,h2:x/",
  "ampq://user:PW@host",
  "user:PW",
  "user:PW;x@host",
  "user:12;PW@host",
  "user:PW://x@host",
  "user:12/PW@host",
  "sqs://AK:a/PW@",
  "sqs://AK:12/PW@",
  "redis://:PW/x@host/0",
  "redis+socket://:PW/run/x",
  "sentinel://a:1;sentinel://user:PW/x@b",
  "amqp://ok:fine@a;amqp://user:PW/x@b",
  "amqp://ok:fine@a;user:PW/x@b",
  "amqp://user:fi@ne;PW@b",
];

for (const mistake of MISTAKES) {
  Deno.test(`a URL with a mistake is refused, and its password not shown: ${mistake}`, () => {
    const url = mistake.replaceAll("PW", SECRET);
    const error = assertThrows(() => createConnection(url), Error);
    // The scheme's own error comes first, where nothing else is wrong.
    assert(
      error instanceof SyntaxError || error.name === "TransportError",
      String(error),
    );
    assertEquals(reach(error, [SECRET, SECRET.toLowerCase()]), []);
  });
}

Deno.test("values that are written well are taken, though they look like mistakes", () => {
  for (
    const [url, shown] of [
      ["amqp://u:PW%3Bx%2Fy%40@h/v", "amqp://u:**@h:5672/v"],
      ["amqp://u:P@W@h/v%40w", "amqp://u:**@h:5672/v%40w"],
      ["amqp://h/team%40x", "amqp://guest:**@h:5672/team%40x"],
      ["amqp://h/v?ssl_server_hostname=a@b", "amqp://guest:**@h:5671/v"],
      [
        "redis+socket:///run/a@b.sock?virtual_host=1",
        "redis+socket:///run/a%40b.sock",
      ],
      ["amqp://u:p@a:1;x:y@b:9/w", "amqp://u:**@a:1//"],
      ["mongodb://u:PW,x@h1,h2/db", "mongodb://u:**@h1:27017,h2:27017/db"],
    ] as const
  ) assertEquals(createConnection(url).asUri(), shown);
});
