import { assertEquals } from "@std/assert";
import { readEndpoints } from "../../../messaging/connection/endpoint.ts";
import type { Transport } from "../../../transports/transport.ts";

const named = (name: string): Transport => ({
  name,
  connect: () => Promise.reject(new Error("it is not to connect")),
});

/** The URL, the transport that is named beside it; then which it is, its scheme, TLS and port. */
const CASES: readonly (readonly [
  string,
  string | Transport | undefined,
  readonly [string, string, boolean | undefined, number | undefined],
])[] = [
  ["amqp://h", undefined, ["amqp", "amqp", undefined, 5672]],
  ["amqps://h", undefined, ["amqp", "amqps", true, 5671]],
  ["amqps://h", "amqplib", ["amqp", "amqps", true, 5671]],
  ["amqps://h", "amqp", ["amqp", "amqps", true, 5671]],
  ["amqp://h", "amqps", ["amqp", "amqp", true, 5671]],
  ["amqps://h", named("amqp"), ["amqp", "amqps", true, undefined]],
  ["amqps://h", named("mine"), ["mine", "mine", true, undefined]],
  ["amqp://h", named("amqp"), ["amqp", "amqp", undefined, undefined]],
  ["pika://h", undefined, ["amqp_client", "amqp-client", undefined, 5672]],
  ["amqp-client://h", undefined, [
    "amqp_client",
    "amqp-client",
    undefined,
    5672,
  ]],
  ["", "amqp_client", ["amqp_client", "amqp-client", undefined, 5672]],
  ["amqp-client://h?ssl=1", undefined, [
    "amqp_client",
    "amqp-client",
    true,
    5671,
  ]],
  ["h", "pika", ["amqp_client", "amqp-client", undefined, 5672]],
  ["amqp://h", "pika", ["amqp_client", "amqp-client", undefined, 5672]],
  ["amqps://h", "pika", ["amqp_client", "amqp-client", true, 5671]],
  ["ws://h", undefined, ["amqp_client", "ws", undefined, 80]],
  ["wss://h", undefined, ["amqp_client", "wss", true, 443]],
  ["wss://h", "pika", ["amqp_client", "wss", true, 443]],
  ["wss://h", named("amqp_client"), ["amqp_client", "wss", true, undefined]],
  ["mine://h", named("mine"), ["mine", "mine", undefined, undefined]],
  ["mines://h", named("mine"), ["mine", "mines", true, undefined]],
  ["h", named("mine"), ["mine", "mine", undefined, undefined]],
];

for (const [url, transport, expected] of CASES) {
  const name = typeof transport === "object" ? "an object" : transport;
  Deno.test(`readEndpoints() reads ${url} with the transport ${name}`, () => {
    const [endpoint] = readEndpoints(url, { transport });
    assertEquals([
      endpoint?.transport,
      endpoint?.url.scheme,
      endpoint?.tls,
      endpoint?.url.port,
    ], [...expected]);
  });
}

Deno.test("the last four passwords that a function gave are remembered, to be masked", async () => {
  let count = 0;
  const [endpoint] = readEndpoints("amqp://h", {
    password: () => `secret-${Math.min(++count, 6)}`,
  });
  for (let i = 0; i < 7; i++) await endpoint?.password?.();
  assertEquals(
    endpoint?.passwordsGiven,
    [3, 4, 5, 6].map((each) => `secret-${each}`),
  );
});
