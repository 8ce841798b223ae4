import { Client } from "pg";

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
