import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  durationOption,
  integerOption,
  OptionError,
  parseUrl,
  readOptions,
  readSharedQuery,
  wordOption,
} from "../../url/mod.ts";

const shared = (query: string) =>
  readSharedQuery(parseUrl(`amqp://h/v?${query}`)).shared;

const GOOD: readonly (readonly [string, unknown])[] = [
  ["ssl=1", { ssl: true }],
  ["ssl=0", { ssl: false }],
  ["ssl=true", { ssl: true }],
  ["ssl=off", { ssl: false }],
  ["heartbeat=10", { heartbeat: 10_000 }],
  ["heartbeat=0", { heartbeat: 0 }],
  ["connect_timeout=2.5", { connectTimeout: 2500 }],
  ["login_method=EXTERNAL", { loginMethod: "EXTERNAL" }],
  ["insist=yes", { insist: true }],
  ["ssl_check_hostname=false", { ssl: { checkHostname: false } }],
  ["ssl_check_hostname=False", { ssl: { checkHostname: false } }],
  ["ssl=1&ssl_cert_reqs=CERT_NONE", { ssl: { verify: false } }],
  ["ssl_cert_reqs=required", { ssl: { verify: true } }],
  ["ssl_server_hostname=x", { ssl: { servername: "x" } }],
];

for (const [query, expected] of GOOD) {
  Deno.test(`readSharedQuery() reads ?${query}`, () => {
    assertEquals<unknown>(shared(query), expected);
  });
}

const BAD: readonly (readonly [string, ...string[]])[] = [
  ["ssl=maybe", "ssl", "maybe", "true"],
  ["heartbeat=soon", "heartbeat", "soon", "seconds"],
  ["connect_timeout=0", "connect_timeout"],
  ["ssl_cert_reqs=sometimes", "sometimes", "required"],
  ["ssl_ca_certs=/etc/ca.pem", "ssl_ca_certs", "ca:"],
  ["port=3", "port"],
  ["virtual_host=x", "virtual_host"],
  ["ssl=0&ssl_check_hostname=1", "ssl"],
];

for (const [query, ...words] of BAD) {
  Deno.test(`readSharedQuery() refuses ?${query}`, () => {
    const { message } = assertThrows(() => shared(query), OptionError);
    for (const word of words) assert(message.includes(word), message);
  });
}

Deno.test("readSharedQuery() reads sslmode of PostgreSQL's URLs, and of no others", () => {
  const read = (url: string) => readSharedQuery(parseUrl(url));
  for (const mode of ["require", "verify-ca", "verify-full"]) {
    const { shared, rest } = read(`postgresql://h/db?sslmode=${mode}`);
    assertEquals([shared, rest.query], [{ ssl: true }, {}]);
  }
  const both = read("postgres://h/db?sslmode=disable&ssl=0");
  assertEquals(both.shared, { ssl: false });
  const refused = (query: string, ...words: string[]) => {
    const url = `postgres://h/db?${query}`;
    const { message } = assertThrows(() => read(url), OptionError);
    for (const word of words) assert(message.includes(word), message);
  };
  // What goes on in clear text where the server has no TLS is not guessed.
  refused("sslmode=prefer", "prefer", "verify-full");
  refused("sslmode=", "sslmode", "no value");
  refused("sslmode=require&ssl=0", "contradict");
  refused("ssl=1&sslmode=disable", "contradict");
  refused("sslmode=disable&ssl_check_hostname=1", "ssl");
  const other = read("amqp://h/v?sslmode=require");
  assertEquals(other.rest.query, { sslmode: "require" });
});

Deno.test("readSharedQuery() leaves the rest for the transport", () => {
  const { rest } = readSharedQuery(parseUrl("amqp://h/?ssl=1&frame_max=1"));
  assertEquals(rest.query, { frame_max: "1" });
});

interface Options {
  readonly frameMax?: number | undefined;
  readonly pollInterval?: number | undefined;
  readonly fanout?: "pubsub" | "queue" | undefined;
}

const read = (query: string, transportOptions: Record<string, unknown> = {}) =>
  readOptions<Options>({
    frameMax: integerOption("frame_max", 0, 100),
    pollInterval: durationOption("poll_interval"),
    fanout: wordOption("fanout", ["pubsub", "queue"] as const),
  }, { url: parseUrl(`x://h/?${query}`), transportOptions });

Deno.test("readOptions() reads both, in their own units, and the URL wins", () => {
  assertEquals(
    read("frame_max=7&poll_interval=1.5", { frameMax: 8, fanout: "queue" }),
    { frameMax: 7, pollInterval: 1500, fanout: "queue" },
  );
  assertEquals(read("", { pollInterval: 20 }), { pollInterval: 20 });
});

const WRONG:
  readonly (readonly [string, Record<string, unknown>, string, ...string[]])[] =
    [
      [
        "frame_mx=1",
        {},
        "option-unknown",
        "frame_mx",
        'did you mean "frame_max"',
      ],
      [
        "",
        { frameMx: 1 },
        "option-unknown",
        "frameMx",
        'did you mean "frameMax"',
      ],
      ["heartbaet=1", {}, "option-unknown", "heartbaet", "heartbeat"],
      ["zzz=1", {}, "option-unknown", "zzz", "known are"],
      ["frame_max=101", {}, "option-invalid", "frame_max", "100"],
      ["frame_max=x", {}, "option-invalid", "frame_max", '"x"'],
      ["", { frameMax: "7" }, "option-invalid", "frameMax"],
      ["", { pollInterval: -1 }, "option-invalid", "pollInterval"],
      ["fanout=both", {}, "option-invalid", "both", "pubsub, queue"],
    ];

for (const [query, object, code, ...words] of WRONG) {
  Deno.test(`readOptions() refuses ?${query} ${JSON.stringify(object)}`, () => {
    const error = assertThrows(() => read(query, object), OptionError);
    assertEquals<string>(error.code, code);
    for (const word of words) {
      assert(error.message.includes(word), error.message);
    }
  });
}
