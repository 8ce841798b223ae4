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
 * It is a session of its own, which connects when it is first asked for and ends with the
 * connection: what is set in it, and what is open in it, stays apart from the library's work.
 * The tables of the schema are the library's.
 */
export const nativeClient: NativeClient<PgClient> = {
  name: "pg",
  is: (client): client is PgClient =>
    client instanceof Object && "query" in client &&
    "escapeIdentifier" in client,
};
