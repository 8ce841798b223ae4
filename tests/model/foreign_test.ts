import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { ConnectionError, NotFoundError } from "../../model/errors.ts";
import { printable, quote } from "../../model/foreign_text.ts";
import { reach } from "../conformance/reach.ts";

const EVIL = "\x1b]0;owned\x07\r\n\u009b31m\u202egnp\u2066.exe\u2028\ud800\x7f";
const SECRET = "Zx9-sEcReT-pw";

/** Characters that a terminal would obey. Line ends of an inspected error are its own. */
const OBEYED = /[^\P{Cc}\n]|\p{Cf}|\p{Zl}|\p{Zp}|\p{Cs}/u;

Deno.test("a foreign text is shown in one line, without what a terminal obeys", () => {
  assertEquals(
    printable(EVIL),
    "\\u001b]0;owned\\u0007\\r\\n\\u009b31m\\u202egnp\\u2066.exe\\u2028\\ud800\\u007f",
  );
  assertEquals(printable("caf\u00e9 \u{1f600}"), "caf\u00e9 \u{1f600}");
});

Deno.test("a long foreign text is cut off and counted, also within a surrogate pair", () => {
  assertEquals(
    printable("x".repeat(5_000_000), 3),
    "xxx… (5000000 characters)",
  );
  assertEquals(printable("a\u{1f600}b", 2), "a\\ud83d… (4 characters)");
});

Deno.test("of a foreign value that is no text the type alone is shown", () => {
  assertEquals(
    [
      "a\n",
      5,
      true,
      null,
      undefined,
      7n,
      10n ** 5000n,
      [SECRET],
      { [SECRET]: SECRET },
      () => SECRET,
      Symbol(SECRET),
    ].map((each) => quote(each)),
    [
      '"a\\n"',
      "5",
      "true",
      "null",
      "undefined",
      "7",
      "a large bigint",
      "an array",
      "an object",
      "a function",
      "a symbol",
    ],
  );
});

Deno.test("an error shows nothing of a server's that a terminal obeys, nor does its cause", () => {
  const cause = new Error(`refused ${EVIL}`, { cause: new TypeError(EVIL) });
  cause.name = `Evil${EVIL}`;
  const error = new ConnectionError(`Cannot connect: ${EVIL}`, {
    code: "connection-failed",
    cause,
  });
  const shown = Deno.inspect(error, { colors: false });
  assert(shown.includes("refused \\u001b]0;owned"), shown);
  assert(!OBEYED.test(shown), JSON.stringify(shown));
  assert(!OBEYED.test(error.message));
  assert(!error.message.includes("\n"));
});

Deno.test("an error's text is bounded, and so are its causes'", () => {
  const cause = new Error("y".repeat(1_000_000));
  const error = new NotFoundError("x".repeat(1_000_000), { cause });
  assert(error.message.length < 2000);
  assert(Deno.inspect(error).length < 30_000);
});

Deno.test("a cause that has words and codes alone stays what it is", () => {
  const system = Object.assign(new Error("connect ECONNREFUSED"), {
    code: "ECONNREFUSED",
    port: 5672,
  });
  const aggregate = new AggregateError([system], "no address");
  const late = new DOMException("late", "TimeoutError");
  const own = new NotFoundError("x");
  for (const cause of [system, aggregate, late, own]) {
    assertStrictEquals(new NotFoundError("x", { cause }).cause, cause);
  }
});

/** Errors as clients make them, with a secret wherever one has been seen, or could be. */
class HiddenError extends Error {
  static readonly secrets = new WeakMap<HiddenError, string>();
  get connection(): unknown {
    return { password: SECRET };
  }
}
const HOLDERS: Readonly<Record<string, () => unknown>> = {
  "a property": () =>
    Object.assign(new Error("x"), { command: { args: [SECRET] } }),
  "a text": () => Object.assign(new Error("x"), { url: SECRET }),
  "a hidden property": () =>
    Object.defineProperty(new Error("x"), "connection", {
      value: { password: SECRET },
    }),
  "a getter": () =>
    Object.defineProperty(new Error("x"), "it", { get: () => SECRET }),
  "its class's getter": () => new HiddenError("x"),
  "a symbol": () => Object.assign(new Error("x"), { [Symbol("s")]: SECRET }),
  "a list of errors": () =>
    Object.assign(new Error("x"), {
      previousErrors: [Object.assign(new Error("y"), { args: [SECRET] })],
    }),
  "its parts": () =>
    new AggregateError([Object.assign(new Error("y"), { args: [SECRET] })]),
  "its cause": () =>
    new Error("x", {
      cause: new Error("y", {
        cause: Object.assign(new Error("z"), { code: [SECRET] }),
      }),
    }),
  "an answer": () =>
    Object.assign(new Error("x"), {
      $response: { body: { req: { headers: [SECRET] } }, statusCode: 403 },
    }),
  "an event": () => ({ message: "x", target: { url: SECRET } }),
  "a map": () => Object.assign(new Error("x"), { m: new Map([["a", SECRET]]) }),
};

for (const [name, make] of Object.entries(HOLDERS)) {
  Deno.test(`no secret of a foreign error is within reach: ${name}`, () => {
    const cause = make();
    assert(reach(cause, [SECRET]).length > 0, "the test sees it at all");
    const error = new NotFoundError("x", { cause });
    assertEquals(reach(error, [SECRET]), []);
    assert(error.cause instanceof Error);
    assert(error.cause.stack?.includes("foreign_test.ts") ?? false);
  });
}

Deno.test("of an error that is replaced its name, words, codes and stack stay", () => {
  class ReplyError extends Error {}
  const cause = Object.assign(new ReplyError("WRONGPASS no"), {
    command: { name: "auth", args: [SECRET] },
    code: "WRONGPASS",
    $metadata: { httpStatusCode: 403, requestId: "r", secret: SECRET },
  });
  cause.name = "ReplyError";
  const { cause: kept } = new NotFoundError("x", { cause });
  assert(kept instanceof Error);
  assertEquals([kept.name, kept.message], ["ReplyError", "WRONGPASS no"]);
  assertEquals({ ...kept }, {
    code: "WRONGPASS",
    $metadata: { httpStatusCode: 403, requestId: "r" },
  });
  assert(kept.stack?.startsWith("ReplyError: WRONGPASS no\n    at "));
});

Deno.test("errors that cause each other end somewhere", () => {
  const [a, b] = [new Error("a"), new Error("b")];
  Object.assign(a, { it: SECRET }).cause = b;
  b.cause = a;
  assertEquals(reach(new NotFoundError("x", { cause: a }), [SECRET]), []);
});
