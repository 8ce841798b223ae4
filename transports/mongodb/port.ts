/** A document, or a part of one. */
export type Fields = Readonly<Record<string, unknown>>;

/** Options of {@linkcode MongodbClient.find}. */
export interface FindOptions {
  readonly sort?: Readonly<Record<string, 1 | -1>> | undefined;
  /** The maximum number of documents. @default {all} */
  readonly limit?: number | undefined;
  readonly projection?: Readonly<Record<string, 0 | 1>> | undefined;
}

/** One statement of {@linkcode MongodbClient.update}. */
export interface UpdateStatement {
  readonly filter: Fields;
  readonly update: Fields;
  /** Whether all that match change, or the first. @default {false} */
  readonly many?: boolean | undefined;
  readonly upsert?: boolean | undefined;
}

/** Options of {@linkcode MongodbClient.claim}. */
export interface ClaimOptions {
  /** Whether it is made where there is none. @default {false} */
  readonly upsert?: boolean | undefined;
  /** @default {false} */
  readonly safe?: boolean | undefined;
}

/** The result of an update. */
export interface Updated {
  readonly matched: number;
  readonly upserted: number;
}

/** The documents that are inserted into a capped collection, in their order. */
export interface Tail {
  /** Begins behind the present documents. */
  begin(): Promise<void>;
  /** Reads the documents that have come since. */
  read(): Promise<readonly Fields[]>;
  close(): Promise<void>;
}

/**
 * A MongoDB by our verbs: one command each. Calls reject with what `failureOf` of
 * client.ts reads. Writes are the majority's unless they are unsafe: what only
 * hides a message may be forgotten by a failover, which then delivers it again.
 */
export interface MongodbClient extends AsyncDisposable {
  /** The driver's own client. */
  readonly native: unknown;
  /** Closes all sockets at once: calls that wait reject. */
  destroy(): void;
  /** Asks for the server's time, ms since 1970; `undefined` if it does not tell. */
  readTime(): Promise<number | undefined>;
  /** Asks for the server's version. */
  readVersion(): Promise<string | undefined>;
  /** Makes a document's id: later ones of a process are greater. */
  newId(): unknown;
  find(name: string, filter: Fields, options: FindOptions): Promise<Fields[]>;
  count(name: string, filter: Fields): Promise<number>;
  /** Inserts documents, in order. */
  insert(name: string, documents: readonly Fields[]): Promise<void>;
  /** Updates, in order. */
  update(
    name: string,
    statements: readonly UpdateStatement[],
    options: { readonly safe: boolean },
  ): Promise<Updated>;
  /** Removes all that match; returns how many. */
  remove(name: string, filters: readonly Fields[]): Promise<number>;
  /** Updates the first document and returns it as it is then: `findOneAndUpdate`. */
  claim(
    name: string,
    filter: Fields,
    sort: Readonly<Record<string, 1 | -1>>,
    update: Fields,
    options?: ClaimOptions,
  ): Promise<Fields | undefined>;
  ensureIndex(
    name: string,
    keys: Readonly<Record<string, 1>>,
    options?: Fields,
  ): Promise<void>;
  /** Tails a capped collection. */
  tail(name: string, filter: Fields): Tail;
  /** Makes a capped collection, if there is none of that name. */
  ensureCapped(name: string, size: number): Promise<void>;
}
