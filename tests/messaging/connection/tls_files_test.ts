import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createConnection, OptionError } from "../../../mod.ts";
import { createTransport } from "../../../transports/memory/mod.ts";
import type { ConnectOptions } from "../../../transports/transport.ts";

const QUERY =
  "ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem&ssl_certfile=/etc/my.pem&ssl_keyfile=/etc/my%20key.pem";

/** A transport that notes with which TLS it is to connect. */
function noting() {
  const seen: ConnectOptions["tls"][] = [];
  const memory = createTransport();
  const transport = {
    name: "noting",
    connect: (
      url: Parameters<typeof memory.connect>[0],
      options: ConnectOptions,
    ) => {
      seen.push(options.tls);
      return memory.connect(url, { ...options, tls: undefined });
    },
  };
  return { seen, transport, url: `noting://files?${QUERY}` };
}

Deno.test("files that a URL names for TLS are read by readFile before each connect", async () => {
  const { seen, transport, url } = noting();
  const paths: string[] = [];
  for (let i = 0; i < 2; i++) {
    await using connection = createConnection(url, {
      transport,
      tls: { servername: "broker" },
      readFile: (path) => `text ${paths.push(path)} of ${path}`,
    });
    await connection.connect();
  }
  assertEquals(paths.length, 6);
  assertEquals(seen[0], {
    servername: "broker",
    verify: true,
    ca: "text 1 of /etc/ca.pem",
    cert: "text 2 of /etc/my.pem",
    key: "text 3 of /etc/my key.pem",
  });
  assertEquals(seen.length, 2);
});

Deno.test("one file of a URL is read, too", async () => {
  const { seen, transport } = noting();
  await using connection = createConnection(
    "noting://files?ssl_ca_certs=/etc/ca.pem",
    { transport, readFile: (path) => `text of ${path}` },
  );
  await connection.connect();
  assertEquals(Object(seen[0]).ca, "text of /etc/ca.pem");
});

Deno.test("a file that cannot be read is told by its parameter and path, and nothing is sent", async () => {
  const { seen, transport, url } = noting();
  // deno-lint-ignore no-explicit-any -- as from no compiler
  const bytes: any = () => new Uint8Array(1);
  for (
    const [readFile, words] of [
      [() => Promise.reject(new Error("ENOENT")), "/etc/ca.pem"],
      [bytes, "it must be a text"],
    ] as const
  ) {
    await using connection = createConnection(url, {
      transport,
      readFile,
      onUnhandled: () => {},
    });
    const error = await assertRejects(
      () => connection.connect(),
      OptionError,
      words,
    );
    assertEquals(error.message.includes("ssl_ca_certs"), true);
  }
  assertEquals(seen, []);
});

Deno.test("without readFile such a URL is refused by name", () => {
  const { transport, url } = noting();
  assertThrows(
    () => createConnection(url, { transport }),
    OptionError,
    'Cannot use "ssl_ca_certs" as a parameter of a URL: it names a file, and this library reads none; give createConnection "readFile"',
  );
});
