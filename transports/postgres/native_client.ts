import type { NativeClient } from "../transport.ts";

/** `Client` of npm:pg, as far as it is needed here: the package itself has no types. */
export interface PgClient {
  /** Runs a statement. */
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{
    readonly rows: readonly Readonly<Record<string, unknown>>[];
    readonly rowCount: number | null;
  }>;
}

/**
 * `Client` of pg, for statements and transactions of one's own.
 *
 * It is the connection by which messages are put and taken: leave no transaction open on
 * it, and do not end it. The tables of the schema are the library's.
 */
export const nativeClient: NativeClient<PgClient> = {
  name: "pg",
  is: (client): client is PgClient =>
    client instanceof Object && "query" in client &&
    "escapeIdentifier" in client,
};
