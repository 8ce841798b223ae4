import { Client, type ClientConfig, types } from "pg";
import { nodeTlsOptions, type TlsOptions } from "../../model/tls_options.ts";
import type { Row, Value } from "../sql/port.ts";
import { type DataSocket, RowReader } from "./binary_client.ts";
import { type Peer, peerOf } from "../peer.ts";

/** The way to a server. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string;
  readonly tls: TlsOptions | undefined;
  /** Shown by the server beside the connection. */
  readonly name: string;
  /** Milliseconds for it to be there. */
  readonly timeout: number;
}

/** All that a connection needs. */
export interface Dial extends Address {
  /** Milliseconds for an answer, beyond which the server counts as gone. */
  readonly patience: number;
  /** Milliseconds after which the server ends a transaction of whose client it hears nothing. */
  readonly mostIdle: number;
  /** The most that one message of the server may have, bytes. */
  readonly maxResponseSize: number;
  /** When it aborts, what is not there yet is given up. */
  readonly signal: AbortSignal;
  /** Called once when the connection is gone. Must not throw. */
  readonly onLost: (error: Error) => void;
}

/** What `LISTEN` brings. */
interface Notice {
  readonly payload?: string;
  readonly processId: number;
}

/** The result of a statement. */
export interface Answer {
  readonly rows: readonly Row[];
  readonly count: number;
}

/** A connection to a server. */
export interface PostgresClient {
  /** Runs statements without values, in one message; returns the rows of the last. */
  exec(sql: string): Promise<readonly Row[]>;
  /** Runs a statement, which the server prepares once. */
  query(sql: string, values: readonly Value[]): Promise<Answer>;
  /**
   * Runs a statement whose columns are whole numbers, texts and bytes; returns its rows as
   * lists of their values. Of rows with bodies that is a fraction of the work.
   */
  lists(
    sql: string,
    values: readonly Value[],
  ): Promise<readonly (readonly Value[])[]>;
  /** Calls back for each notification of the channels that are listened to. */
  onNotice(callback: (payload: string, from: number) => void): void;
  /** The server's number of the connection. */
  readonly id: number;
  /** Whether a pooler stands between: each transaction may have another session of the server. */
  readonly isPooled: boolean;
  /** The statements by which a transaction begins whose session is nobody's own. */
  readonly settings: readonly string[];
  /** Tells who is at the other end of its socket. */
  peer(): Peer | undefined;
  /** Ends it. */
  close(): Promise<void>;
  /** Ends it without a word. */
  destroy(): void;
}

/** `bigint`, `numeric` and `double precision`: numbers of ours are whole, and small enough. */
const NUMBERS: ReadonlySet<number> = new Set([20, 1700, 701]);

/** `bytea`. */
const BYTES = 17;

const TYPES: NonNullable<ClientConfig["types"]> = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    if (NUMBERS.has(oid)) return Number;
    const parse = types.getTypeParser(oid, format ?? "text");
    return oid === BYTES
      ? (text: string) => decodeHex(text) ?? plain(parse(text))
      : parse;
  },
};

/** A method that newer runtimes have and older type libraries lack. */
interface HexBytes {
  setFromHex?(text: string): { readonly written: number };
}

/** Into bytes that are there: a fraction of the time of a `Buffer`'s. */
function decodeHex(text: string): Uint8Array | undefined {
  if (!text.startsWith("\\x")) return undefined;
  const bytes = new Uint8Array(text.length / 2 - 1);
  const own: HexBytes = bytes;
  if (own.setFromHex === undefined) return undefined;
  own.setFromHex(text.slice(2));
  return bytes;
}

/** A body is a `Uint8Array`, and nothing more. */
function plain({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

/**
 * Connects once.
 *
 * @returns The client; rejects with the driver's error.
 */
export async function dial(options: Dial): Promise<PostgresClient> {
  const { tls, patience, mostIdle, maxResponseSize, signal, onLost } = options;
  signal.throwIfAborted();
  const native = new Client({
    ...configOf(options),
    query_timeout: patience,
    types: TYPES,
  });
  let isOver = false;
  const lose = (error: Error) => {
    if (isOver) return;
    isOver = true;
    onLost(error);
  };
  native.on("error", lose);
  native.on("end", () => lose(new Error("the server closed the connection")));
  const reader = new RowReader(maxResponseSize);
  // Before anything is said: what the client cannot read it throws where nobody catches.
  insideOf(native).once(
    tls === undefined ? "connect" : "sslconnect",
    () => reader.attach(insideOf(native).stream),
  );
  const giveUp = () => cut(native);
  signal.addEventListener("abort", giveUp, { once: true });
  let id = 0;
  let isPooled = false;
  try {
    await native.connect();
    id = Number((native as { processID?: number | null }).processID ?? 0);
    const { rows: [session] } = await native.query(
      prepareSession(id, mostIdle),
    );
    isPooled = session?.id !== id;
  } catch (error) {
    isOver = true;
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
  const names = new Map<string, string>();
  const nameOf = (sql: string): string => {
    let name = names.get(sql);
    if (name === undefined) names.set(sql, name = `dashi_${names.size}`);
    return name;
  };
  // What is prepared is known to one session of the server.
  const prepared = (sql: string, values: readonly Value[]) => ({
    ...isPooled ? {} : { name: nameOf(sql) },
    text: sql,
    values: [...values],
  });
  return {
    peer: () => peerOf(insideOf(native).stream),
    id,
    isPooled,
    settings: isPooled ? [`SELECT ${settings(mostIdle, true).join()}`] : [],
    async exec(sql) {
      const results: unknown = await native.query(sql);
      const last = Array.isArray(results) ? results.at(-1) : results;
      return last.rows;
    },
    async query(sql, values) {
      const { rows, rowCount } = await native.query(prepared(sql, values));
      return { rows, count: rowCount ?? 0 };
    },
    async lists(sql, values) {
      const rows: Value[][] = [];
      const columns: number[] = [];
      // Asked for each column, when the description of the answer is read.
      const getTypeParser = (type: number) => {
        if (columns.push(type) === 1) reader.begin(columns, rows);
        return notRead;
      };
      const query = {
        ...prepared(sql, values),
        types: { getTypeParser },
        binary: true,
      };
      await native.query(query);
      return rows;
    },
    onNotice(callback) {
      native.on(
        "notification",
        ({ payload = "", processId }: Notice) => callback(payload, processId),
      );
    },
    async close() {
      isOver = true;
      await native.end();
    },
    destroy() {
      isOver = true;
      cut(native);
    },
  };
}

/** What a client needs to be at its server. */
function configOf(
  { host, port, user, password, database, tls, name, timeout }: Address,
): ClientConfig {
  return {
    host,
    port,
    user,
    password,
    database,
    ssl: tls === undefined ? false : nodeTlsOptions(tls),
    application_name: name,
    connectionTimeoutMillis: Math.ceil(timeout),
    keepAlive: true,
    // Statements leave without waiting for those before them.
    pipeline: true,
  };
}

/**
 * The session for a user's own statements: on one of the library's they would be part of its
 * transactions, and its statements part of theirs.
 */
export class OwnSession {
  readonly #address: Address;
  #native: Client | undefined;

  /** Nothing is connected before somebody asks. */
  constructor(address: Address) {
    this.#address = address;
  }

  /** Its client; where the last one was lost, a new one. It connects by itself. */
  get native(): unknown {
    if (this.#native !== undefined) return this.#native;
    const native = new Client(configOf(this.#address));
    const forget = () => {
      if (this.#native === native) this.#native = undefined;
    };
    native.on("error", forget); // what is asked fails by it
    native.on("end", forget);
    native.connect().catch(forget);
    return this.#native = native;
  }

  /** Ends it. */
  async close(): Promise<void> {
    await this.#native?.end().catch(() => {}); // the user may have ended it
  }

  /** Ends it without a word. */
  destroy(): void {
    if (this.#native !== undefined) cut(this.#native);
  }
}

function notRead(): never {
  throw new Error("a row in binary form came to who reads text");
}

/**
 * Sets what our sessions need. Tables that are small today are not read from end to end by a
 * plan that is kept; where that cannot be helped, its price makes no plan worth compiling. A
 * transaction holds locks that all others wait for: it does not outlast a client that stands
 * still, or whose machine is gone. Who runs the server may have set a limit, which stays.
 */
function settings(mostIdle: number, isLocal: boolean): readonly string[] {
  const idle = "idle_in_transaction_session_timeout";
  return [
    `set_config('enable_seqscan', 'off', ${isLocal})`,
    `set_config('jit', 'off', ${isLocal})`,
    `set_config('${idle}', CASE current_setting('${idle}')
      WHEN '0' THEN '${mostIdle}' ELSE current_setting('${idle}') END, ${isLocal})`,
  ];
}

/** Asks for the number of the session, and sets what it needs if it is ours alone. */
function prepareSession(id: number, mostIdle: number): string {
  const ours = settings(mostIdle, false).map((each) =>
    `, CASE WHEN pg_backend_pid() = ${id} THEN ${each} END`
  );
  return `SELECT pg_backend_pid() AS id${ours.join("")}`;
}

/** Closes its socket. */
function cut(native: Client): void {
  insideOf(native).stream.destroy();
}

/** What of the client has no name in its types. */
interface Inside {
  readonly stream: DataSocket & { destroy(): unknown };
  once(event: "connect" | "sslconnect", listener: () => void): void;
}

function insideOf(native: Client): Inside {
  return (native as unknown as { readonly connection: Inside }).connection;
}
