import { assert, assertEquals } from "@std/assert";
import { failureHeaders } from "../../../messaging/consume/failure_headers.ts";

const said = (message: string, secrets: readonly string[] = []) =>
  String(failureHeaders(new Error(message), 0, secrets)["x-error-message"]);

Deno.test("failureHeaders() tells what was thrown, and when", () => {
  const headers = failureHeaders(new RangeError("too far"), 1000, []);
  assertEquals(headers, {
    "x-error-name": "RangeError",
    "x-error-message": "too far",
    "x-error-at": "1970-01-01T00:00:01.000Z",
  });
  assertEquals(said(""), "Error");
});

Deno.test("failureHeaders() bounds both, in one line without control characters", () => {
  assertEquals(said("a\n\x1b[2J\u202eb"), "a\\n\\u001b[2J\\u202eb");
  for (const character of ["x", "ä", "\u{1F600}", "\x00", "\ud800"]) {
    const error = new Error(character.repeat(100_000));
    error.name = error.message;
    const { "x-error-name": name, "x-error-message": message } = failureHeaders(
      error,
      0,
      [],
    );
    for (const [text, most] of [[name, 255], [message, 1024]] as const) {
      const bytes = new TextEncoder().encode(String(text)).length;
      assert(bytes <= most && bytes > most - 10, `${bytes}`);
      assert(String(text).endsWith("…"));
    }
  }
});

Deno.test("failureHeaders() masks secrets", () => {
  for (
    const [message, shown] of [
      ["login hunter/2 was refused", "login ** was refused"],
      ["login hunter%2F2 was refused", "login ** was refused"],
      ["GET https://me:pw1234@host/x", "GET https://me:**@host/x"],
      ['{"password":"abc","n":1}', '{"password":"**","n":1}'],
      ['password: "x y", n: 1', 'password: "**", n: 1'],
      ['{"secret":"x \\" y","n":1}', '{"secret":"**","n":1}'],
      [
        '"{\\"token\\":\\"x y\\",\\"n\\":1}"',
        '"{\\"token\\":\\"**\\",\\"n\\":1}"',
      ],
      ["passphrase='x y' n=1", "passphrase='**' n=1"],
      ['password: "x y', 'password: "**'],
      ["api_key=abc&n=1", "api_key=**&n=1"],
      ["Authorization: Bearer abc.def", "Authorization: Bearer **"],
      ["Unexpected token < in JSON", "Unexpected token < in JSON"],
    ] as const
  ) assertEquals(said(message, ["hunter/2"]), shown);
});
