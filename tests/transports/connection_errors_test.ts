// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  cannotConnect,
  connectionLost,
} from "../../transports/connection_errors.ts";
import { ConnectionError, createConnection } from "../../mod.ts";
import { certificates, hasOpenssl } from "../support/certificates.ts";

const hasCertificates = await hasOpenssl();

Deno.test("an error of a connection is retryable, unless the certificate is the reason", () => {
  const refused = cannotConnect('connect to "b"', "ECONNREFUSED", {});
  assertEquals(refused.message, 'Cannot connect to "b": ECONNREFUSED');
  assertEquals(
    [refused.code, refused.retryable, refused.outcome],
    ["connection-failed", true, "not-sent"],
  );
  const lost = connectionLost("b", "self-signed certificate");
  assertEquals(
    [lost.code, lost.retryable, lost.outcome],
    ["connection-lost", false, "unknown"],
  );
  assert(lost.message.includes("tls: { ca }"), lost.message);
});

const SCHEMES = [
  "amqps://",
  "amqp-client://",
  "wss://",
  "rediss://",
  "couchdbs://",
  "mongodb://",
  "sqs://key:secret@",
] as const;

for (const scheme of SCHEMES) {
  Deno.test({
    name:
      `${scheme} to a server whose certificate is not trusted says so, and does not try again${
        hasCertificates ? "" : " (openssl is not installed)"
      }`,
    ignore: !hasCertificates,
    fn: async () => {
      const folder = await Deno.makeTempDir();
      await certificates(folder);
      const server = Deno.listenTls({
        hostname: "127.0.0.1",
        port: 0,
        cert: await Deno.readTextFile(`${folder}/server.pem`),
        key: await Deno.readTextFile(`${folder}/server.key`),
      });
      const serving = serve(server);
      try {
        const { port } = server.addr;
        await using connection = createConnection(
          `${scheme}localhost:${port}`,
          { tls: true, connectTimeout: 30_000 },
        );
        const error = await assertRejects(
          () => connection.connect(),
          ConnectionError,
          "its certificate cannot be trusted (",
        );
        assertEquals(error.code, "connection-failed");
        assertEquals(error.retryable, false);
        assertEquals(error.outcome, "not-sent");
      } finally {
        server.close();
        await serving;
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** Shakes hands with all who come: nobody trusts it. */
async function serve(server: Deno.TlsListener): Promise<void> {
  const greeting: Promise<void>[] = [];
  while (true) {
    let socket: Deno.TlsConn;
    try {
      socket = await server.accept();
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) break;
      continue; // it was refused while it was accepted
    }
    greeting.push(
      socket.handshake().then(() => {}, () => {}).finally(() => socket.close()),
    );
  }
  await Promise.all(greeting);
}
