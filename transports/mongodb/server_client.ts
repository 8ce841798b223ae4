import { type Db, type Document, MongoServerError } from "mongodb";

/** Greets a server, which then tells of itself. */
export async function hello(database: Db): Promise<Document> {
  try {
    return await database.command({ hello: 1 });
  } catch (error) {
    if (!(error instanceof MongoServerError) || error.code !== 59) {
      throw error;
    }
    return await database.command({ isMaster: 1 }); // before 4.4
  }
}

/**
 * Asks a server for its version.
 *
 * @returns The version, if it tells it.
 */
export async function versionOf(database: Db): Promise<string | undefined> {
  const { version } = await database.command({ buildInfo: 1 });
  return typeof version === "string" ? version : undefined;
}
