import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import * as dashi from "@dashi/mq";
import * as errors from "../model/errors.ts";
import { REPLY_CODES } from "../model/reply_code.ts";
import { findTransport } from "../transports/load.ts";

const ROOT = new URL("../", import.meta.url);

/** The values that users hold, as the design has them. */
const NAMES = [
  "binding",
  "CodecRegistry",
  "Connection",
  "ConnectionPool",
  "Consumer",
  "createCodecRegistry",
  "createConnection",
  "Exchange",
  "Inspector",
  "Producer",
  "Quarantine",
  "Queue",
  "QueueHandle",
  "REPLY_CODES",
  "SimpleQueue",
  "SYSTEM_CLOCK",
  "TypedValue",
];

Deno.test("mod.ts exports the public names, the errors, and nothing else", () => {
  assertEquals(
    Object.keys(dashi).sort(),
    [...NAMES, ...Object.keys(errors)].sort(),
  );
});

for (
  const entry of [
    ".",
    "./url",
    "./virtual",
    "./transport",
    "./store",
    "./records",
  ] as const
) {
  Deno.test(`the values that the documentation of "${entry}" lists can be imported`, async () => {
    const { href } = new URL(config.exports[entry], ROOT);
    const { stdout, success } = await new Deno.Command(Deno.execPath(), {
      args: ["doc", "--json", href],
    }).output();
    assert(success);
    const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
    const listed = new Set<string>();
    for (const { symbols } of Object.values<Documented>(nodes)) {
      for (const { name, declarations } of symbols) {
        const isValue = declarations.some(({ kind, declarationKind }) =>
          declarationKind === "export" && VALUES.has(kind)
        );
        if (isValue) listed.add(name);
      }
    }
    const values = Object.keys(await import(href));
    assertEquals([...listed].sort(), values.sort());
  });
}

/** A module, as `deno doc --json` has it. */
interface Documented {
  readonly symbols: readonly {
    readonly name: string;
    readonly declarations: readonly {
      readonly kind: string;
      readonly declarationKind: string;
    }[];
  }[];
}

const VALUES: ReadonlySet<string> = new Set(["function", "class", "variable"]);

const ERRORS: readonly Error[] = [
  new errors.MessagingError("x", { code: "unsupported" }),
  new errors.ConnectionError("x", { code: "connection-lost" }),
  new errors.AuthenticationError("x"),
  new errors.TimeoutError("x"),
  new errors.ChannelError("x", { code: "channel-closed" }),
  new errors.NotFoundError("x"),
  new errors.AccessRefusedError("x"),
  new errors.ResourceLockedError("x"),
  new errors.PreconditionFailedError("x"),
  new errors.PublishError("x", { code: "publish-refused" }),
  new errors.UnroutableError("x"),
  new errors.SettlementError("x", { code: "lease-lost" }),
  new errors.SerializationError("x", { code: "decode-failed" }),
  new errors.EncodeError("x"),
  new errors.DecodeError("x"),
  new errors.ContentDisallowedError("x"),
  new errors.UnsupportedError("x"),
  new errors.TransportError("x", { code: "transport-unknown" }),
  new errors.OptionError("x", { code: "option-unknown" }),
  new errors.PoolError("x"),
  new errors.ClosedError("x"),
  new errors.RemoteError("x"),
  new errors.PublishAllError("x", { published: 0, duplicates: 0, failed: [] }),
];

Deno.test("every error class is here once", () => {
  assertEquals(
    ERRORS.map(({ constructor }) => constructor.name).sort(),
    Object.keys(errors).sort(),
  );
});

for (const error of ERRORS) {
  Deno.test(`${error.constructor.name} has its own name, and a code`, () => {
    assertEquals(error.name, error.constructor.name);
    assert(!Object.keys(error).includes("name"));
    assert(String(error).startsWith(`${error.name}: x`));
    assertInstanceOf(error, errors.MessagingError);
    assert(error.code.length > 0);
  });
}

Deno.test("errors that may pass are retryable, and others are not", () => {
  const retryable = ERRORS.filter((each) =>
    each instanceof errors.MessagingError && each.retryable
  );
  assertEquals(retryable.map(({ name }) => name), [
    "ConnectionError",
    "TimeoutError",
    "ChannelError",
    "PoolError",
  ]);
});

Deno.test("an error keeps its cause", () => {
  const cause = new Error("below");
  assertEquals(new errors.NotFoundError("x", { cause }).cause, cause);
  assertEquals("cause" in new errors.NotFoundError("x"), false);
});

Deno.test("reply codes are AMQP's, each once", () => {
  const codes = REPLY_CODES.map(({ code }) => code);
  assertEquals(new Set(codes).size, codes.length);
  assertEquals(REPLY_CODES.find(({ code }) => code === 404)?.name, "not-found");
});

Deno.test("every entry of the package is a module", async () => {
  for (const path of Object.values(config.exports)) {
    const module: object = await import(
      new URL(`../${path}`, import.meta.url).href
    );
    assert(Object.keys(module).length > 0, path);
  }
});

Deno.test("versions are pinned exactly", () => {
  for (const [name, specifier] of Object.entries(config.imports)) {
    if (specifier.startsWith("npm:")) {
      assert(/@\d+\.\d+\.\d+$/.test(specifier), `${name}: ${specifier}`);
    }
  }
});

/** Every folder of `transports/` that a URL can lead to. */
/** Folders of contracts: no broker's. */
const CONTRACTS: ReadonlySet<string> = new Set(["records", "store"]);

async function transports(): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(new URL("transports/", ROOT))) {
    const entry = await Deno.stat(new URL(`transports/${name}/mod.ts`, ROOT))
      .catch(() => undefined);
    if (entry?.isFile && !CONTRACTS.has(name)) names.push(name);
  }
  return names.sort();
}

Deno.test("every transport is an entry, makes a transport of its name, and is found by it", async () => {
  const names = await transports();
  assertEquals(names.length, 11);
  const exports: Readonly<Record<string, string>> = config.exports;
  for (const name of names) {
    assertEquals(exports[`./${name}`], `./transports/${name}/mod.ts`);
    const row = findTransport(name);
    assertEquals(row.name, name);
    assertEquals((await row.load()).createTransport().name, name);
  }
});

Deno.test("every transport is tested by the whole suite", async () => {
  for (const name of await transports()) {
    const test = await Deno.readTextFile(
      new URL(`tests/transports/${name}/${name}_test.ts`, ROOT),
    );
    assert(test.includes("registerConformance("), name);
  }
});
