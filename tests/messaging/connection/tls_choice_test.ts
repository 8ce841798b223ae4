import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, OptionError } from "../../../mod.ts";
import { readEndpoints } from "../../../messaging/connection/endpoint.ts";

type Options = NonNullable<Parameters<typeof createConnection>[1]>;

/** One place says TLS and another that there is none, or nothing that can be understood. */
const CONTRADICTIONS: readonly (readonly [string, Options?])[] = [
  ...["amqps://h", "rediss://h/0", "wss://h/x", "couchdbs://h/db"].flatMap(
    (url): readonly (readonly [string, Options?])[] => [
      [`${url}?ssl=0`],
      [`${url}?ssl=false`],
      [`${url}?ssl=no`],
      [url, { tls: false }],
      [`${url}?ssl=0`, { tls: { verify: true } }],
      [`${url}?ssl=1`, { tls: false }],
      [`${url}?ssl_cert_reqs=required`, { tls: false }],
    ],
  ),
  ...["amqp", "pika", "ws", "redis", "sentinel", "couchdb", "mongodb", "sqs"]
    .flatMap((scheme): readonly (readonly [string, Options?])[] => [
      [`${scheme}://h/?ssl=0`, { tls: true }],
      [`${scheme}://h/?ssl=0`, { tls: {} }],
      [`${scheme}://h/?ssl=1`, { tls: false }],
      [`${scheme}://h/?ssl_check_hostname=1`, { tls: false }],
      [`${scheme}://h/?ssl=0&ssl_cert_reqs=none`],
      [`${scheme}://h/?ssl`],
      [`${scheme}://h/?ssl=`],
      [`${scheme}://h/?ssl=&heartbeat=5`],
      [`${scheme}://h/?ssl=1&ssl=0`],
      [`${scheme}://h/?ssl=%20`],
      [`${scheme}://h/?ssl_cert_reqs=`],
      [`${scheme}://h/?ssl_check_hostname`],
      [`${scheme}://h/?ssl_server_hostname=`],
      [`${scheme}://h/?tls`],
      [`${scheme}://h/?tls=`],
      [`${scheme}://h/?is_secure=`],
      [`${scheme}://h/?ssl_cert_reqs=none`, { tls: { verify: true } }],
      [`${scheme}://h/?ssl_check_hostname=0`, { tls: { checkHostname: true } }],
      [`${scheme}://h/`, { tls: 0 as never }],
      [`${scheme}://h/`, { tls: "true" as never }],
      [`${scheme}://h/`, { tls: null as never }],
      [`${scheme}://h/`, { tls: [] as never }],
      [`${scheme}://h/`, { tls: { verify: 0 } as never }],
      [`${scheme}://h/`, { tls: { verfy: true } as never }],
      [`${scheme}://h/`, { tls: { rejectUnauthorized: true } as never }],
    ]),
  ["amqps://h?ssl=0", { transport: "pika" }],
  ["amqp://h?ssl=0", { transport: "amqps" }],
  ["amqp://h", { transport: "amqps", tls: false }],
  ["h", { transport: "rediss", tls: false }],
  ["ws://h?ssl=0", { transport: "wss" }],
  ["amqps://a?ssl=1;b?ssl=0"],
  ["amqps://a;b?ssl=0"],
  ["amqp://a?ssl=1;b?ssl="],
  ["sentinel://a?ssl=1;sentinel://b?ssl=0", { tls: true }],
];

for (const [url, options = {}] of CONTRADICTIONS) {
  Deno.test(`TLS is not guessed: ${url} ${JSON.stringify(options)}`, () => {
    const error = assertThrows(
      () => createConnection(url, options),
      OptionError,
    );
    assert(/^option-(invalid|unknown)$/.test(error.code));
  });
}

/** These are read by their transports, which come with the first connect. */
const AT_CONNECT: readonly (readonly [string, Options?])[] = [
  ["mongodb://127.0.0.1:1/?ssl=1&tls=0"],
  ["mongodb://127.0.0.1:1/?ssl=0&tls=1"],
  ["mongodb://127.0.0.1:1/?TLS=0", { tls: true }],
  ["mongodb://127.0.0.1:1/?tls=off&ssl=1"],
  ["mongodb://127.0.0.1:1/?ssl=1&tlsInsecure=true"],
  ["mongodb://127.0.0.1:1/?ssl=1&tlsAllowInvalidCertificates=true"],
  ["mongodb+srv://127.0.0.1/?tls=0"],
  ["mongodb+srv://127.0.0.1/?ssl=no"],
  ["mongodb+srv://127.0.0.1/", { tls: false }],
  ["rediss://127.0.0.1:1?tls=off"],
  ["sentinel://127.0.0.1:1?master_name=m&ssl=1&sentinel_ssl=0"],
  ["amqps://127.0.0.1:1?verify=verify_none"],
  ["couchdbs://127.0.0.1:1/d?secure=0"],
  ["mongodb://127.0.0.1:1/?tls=0", { tls: {} }],
  ["mongodb://127.0.0.1:1/", { tls: true, transportOptions: { tls: false } }],
  ["mongodb://127.0.0.1:1/", { tls: false, transportOptions: { tls: true } }],
  ["sqs://u:p@127.0.0.1:1?is_secure=0", { tls: { verify: true } }],
  ["sqs://u:p@127.0.0.1:1?is_secure=0&ssl=1"],
  ["sqs://u:p@127.0.0.1:1?is_secure=1&ssl=0"],
  ["sqs://u:p@127.0.0.1:1", {
    tls: true,
    transportOptions: { isSecure: false },
  }],
  ["sqs://u:p@?endpoint=http://127.0.0.1:1", { tls: {} }],
  ["sqs://u:p@?endpoint=http://127.0.0.1:1&is_secure=1"],
  ["sqs://u:p@?endpoint=https://127.0.0.1:1&ssl=0"],
  ["sqs://u:p@?sns_endpoint=http://127.0.0.1:1", { tls: true }],
  ["sqs://u:p@", {
    tls: true,
    transportOptions: { endpoint: "http://127.0.0.1:1" },
  }],
  ["sqs://u:p@127.0.0.1:1", {
    tls: true,
    transportOptions: { predefinedQueues: { q: "http://127.0.0.1:1/0/q" } },
  }],
  ["amqp://127.0.0.1:1?tls=1"],
  ["redis://127.0.0.1:1?is_secure=1"],
  ["couchdb://127.0.0.1:1?SSL=1"],
];

for (const [url, options = {}] of AT_CONNECT) {
  Deno.test(`TLS is not guessed at connect: ${url} ${JSON.stringify(options)}`, async () => {
    const connection = createConnection(url, { ...options, reconnect: false });
    const error = await connection.connect().catch((each) => each);
    await connection.close();
    assert(error instanceof OptionError, String(error));
  });
}

/** Settings that one place gives, or all give alike. */
const CLEAR: readonly (readonly [string, Options, unknown])[] = [
  ["amqp://h", {}, undefined],
  ["amqp://h", { tls: false }, false],
  ["amqp://h?ssl=0", {}, false],
  ["amqp://h?ssl=0", { tls: false }, false],
  ["amqp://h?ssl=1", {}, true],
  ["amqp://h?ssl=1&ssl=1", {}, true],
  ["amqp://h", { tls: true }, true],
  ["amqps://h", {}, true],
  ["amqps://h?ssl=1", { tls: true }, true],
  ["amqps://h", { tls: { ca: "x" } }, { ca: "x" }],
  ["amqp://h?ssl_cert_reqs=none", {}, { verify: false }],
  [
    "amqps://h?ssl_server_hostname=n",
    { tls: { ca: ["x"], servername: "m", verify: true } },
    { ca: ["x"], servername: "n", verify: true },
  ],
  ["amqp://h", { transport: "amqps" }, true],
  ["redis://h", { transport: "rediss" }, true],
  ["ws://h", { transport: "wss" }, true],
];

for (const [url, options, tls] of CLEAR) {
  Deno.test(`TLS is as it is said: ${url} ${JSON.stringify(options)}`, () => {
    assertEquals(readEndpoints(url, options)[0]?.tls, tls);
  });
}

Deno.test("an entry of a list that has the first one's password has its TLS too", () => {
  const tls = (url: string) => readEndpoints(url, {}).map((each) => each.tls);
  assertEquals(tls("amqp://u:p@a?ssl=1;b"), [true, true]);
  assertEquals(tls("amqp://u:p@a?ssl_check_hostname=0;b;c?heartbeat=1"), [
    { checkHostname: false },
    { checkHostname: false },
    { checkHostname: false },
  ]);
  assertEquals(tls("amqp://u:p@a?ssl=1;b?ssl=0"), [true, false]);
  assertEquals(tls("amqp://u:p@a?ssl=1;amqp://b"), [true, undefined]);
});
