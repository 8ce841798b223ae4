import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/postgres";
import { POSTGRES, startPostgres } from "../../brokers/postgres.ts";
import { rejectsWith } from "../../conformance/support.ts";
import { certificates } from "../../support/certificates.ts";

const isInstalled = POSTGRES.isInstalled();

Deno.test({
  name: `sslmode=require speaks TLS, and verifies the server${
    isInstalled ? "" : " (PostgreSQL is not installed)"
  }`,
  ignore: !isInstalled,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    const server = await startPostgres();
    try {
      {
        await using connection = createConnection(server.url);
        const client = await connection.native(nativeClient);
        // The server's own process writes them: a key that others may read is refused.
        for (const name of ["server.pem", "server.key"]) {
          const lines = (await read(name)).replaceAll("\n", "\\n");
          await client.query(
            `COPY (SELECT unnest(string_to_array(E'${lines}', E'\\n')))
              TO PROGRAM 'cat > ${name} && chmod 600 ${name}'`,
          );
        }
        await client.query("ALTER SYSTEM SET ssl_cert_file = 'server.pem'");
        await client.query("ALTER SYSTEM SET ssl_key_file = 'server.key'");
        await client.query("ALTER SYSTEM SET ssl = on");
      }
      await server.restart();
      const url = `${server.url}?sslmode=require`;
      const once = { reconnect: false } as const;
      const tls = { ca: await read("ca.pem"), servername: "localhost" };
      await using connection = createConnection(url, { ...once, tls });
      const queue = new Queue<string>("encrypted");
      await connection.send(queue, "x".repeat(100_000));
      const message = await connection.queue(queue).get();
      assertEquals(message?.payload.length, 100_000);
      await message?.ack();
      const client = await connection.native(nativeClient);
      const { rows: [row] } = await client.query(
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
      );
      assertEquals(row, { ssl: true });
      await using other = createConnection(url, {
        ...once,
        tls: { ...tls, ca: await read("other.pem") },
      });
      await rejectsWith(other.connect(), "connection-failed", "certificate");
    } finally {
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
