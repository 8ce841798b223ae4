import { OptionError, PreconditionFailedError } from "../../model/errors.ts";

/** A name of a database has fewer bytes. */
const DATABASE_BYTES = 64;
/** The name of a collection, with its database's and a dot, has no more bytes. */
const NAMESPACE_BYTES = 255;

/** The characters that MongoDB refuses in a database's name, on any system. */
const NOT_IN_DATABASE = /[/\\. "$\0]/;

/**
 * Refuses a database that MongoDB would.
 *
 * @throws {OptionError} If it is too long, or has characters that MongoDB does not take.
 */
export function checkDatabaseName(name: string): void {
  const found = NOT_IN_DATABASE.exec(name);
  if (found !== null) {
    throw invalid(
      `Cannot use the database "${name}": MongoDB takes no ${
        JSON.stringify(found[0])
      } in its name`,
    );
  }
  const bytes = byteLength(name);
  if (name === "" || bytes >= DATABASE_BYTES || !name.isWellFormed()) {
    throw invalid(
      `Cannot use the database "${name}": its name has ${bytes} bytes, MongoDB takes 1 to ${
        DATABASE_BYTES - 1
      } of UTF-8`,
    );
  }
}

/**
 * Refuses a collection that MongoDB would.
 *
 * @throws {OptionError} If it is too long, or MongoDB keeps it for itself.
 */
export function checkCollectionName(database: string, name: string): void {
  const isKept = name.startsWith("system.") || name.startsWith(".") ||
    name.endsWith(".") || name.includes("$") || name.includes("\0");
  if (isKept || !name.isWellFormed()) {
    throw invalid(
      `Cannot use the collection "${name}": MongoDB takes no "$", no NUL, no dot at either end, and nothing that begins with "system."`,
    );
  }
  const bytes = byteLength(`${database}.${name}`);
  if (name === "" || bytes > NAMESPACE_BYTES) {
    throw invalid(
      `Cannot use the collection "${name}": with its database's its name has ${bytes} bytes, MongoDB takes ${NAMESPACE_BYTES} at most`,
    );
  }
}

/**
 * Refuses a name that has no form in UTF-8: written with another character in the place
 * of half a surrogate pair it would be somebody else's.
 *
 * @throws {PreconditionFailedError} If it has half of a pair.
 */
export function checkText(kind: string, name: string): void {
  if (name.isWellFormed()) return;
  throw new PreconditionFailedError(
    `Cannot use the ${kind} ${
      JSON.stringify(name)
    }: half a surrogate pair has no form in UTF-8`,
    { outcome: "not-sent" },
  );
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}

function invalid(message: string): OptionError {
  return new OptionError(message);
}
