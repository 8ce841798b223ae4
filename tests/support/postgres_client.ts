import { Client } from "pg";

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
