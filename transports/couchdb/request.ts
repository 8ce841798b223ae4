/** An answer of CouchDB. */
export interface Answer {
  readonly status: number;
  /** Parsed; of an answer without one `undefined`. */
  readonly body: unknown;
  /** Names what was answered, for `If-None-Match`. */
  readonly etag: string | null;
  /** The server's time, in whole seconds. */
  readonly date: string | null;
}

/** A request. */
export interface Request {
  readonly method: "GET" | "PUT" | "POST";
  /** Behind the database's name: `/_all_docs?…`. */
  readonly path: string;
  /** Whether the server is asked, and no database: the path is `/` then. @default {false} */
  readonly isOfServer?: boolean | undefined;
  /** JSON. */
  readonly body?: string | undefined;
  readonly etag?: string | undefined;
  /** Statuses of 400 and more that are no error: they are returned. */
  readonly accept?: readonly number[] | undefined;
  /** Whether the caller asks for less where the answer is too large: that error is its own, and ends nothing. */
  readonly splits?: boolean | undefined;
}
