import { Client } from "pg";
import { createConnection } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/postgres";
import { unique } from "../conformance/support.ts";

const url = Deno.env.get("DASHI_TEST_POSTGRES_URL");
const reason = Deno.env.get("DASHI_TEST_POSTGRES_REASON") ??
  "run it by deno task test, which provides PostgreSQL";

/** Registers a test on the PostgreSQL of the tests. */
export function test(name: string, run: (url: string) => Promise<void>): void {
  Deno.test({
    name: url === undefined ? `${name} (${reason})` : name,
    ignore: url === undefined,
    // The client's sockets end a turn after it says so.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => run(url ?? ""),
  });
}

/** A client of pg, as far as tests use it. */
export interface TestClient {
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
}

/** Lends a client of a server. */
export async function withClient<T>(
  url: string,
  use: (client: TestClient) => Promise<T>,
): Promise<T> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const client = new Client({
    host: hostname,
    port: Number(port),
    user: username,
    password: password === "" ? undefined : password,
    database: pathname.slice(1),
  });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** The URL of a schema that nobody else uses, which goes in the end. */
export async function withSchema(
  url: string,
  run: (url: string, schema: string) => Promise<void>,
): Promise<void> {
  const schema = unique("schema").replaceAll("-", "_");
  try {
    await run(`${url}?schema=${schema}`, schema);
  } finally {
    await using connection = createConnection(url);
    const native = await connection.native(nativeClient);
    await native.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  }
}
