import type { SqlTransaction } from "../../model/transaction.ts";
import type { Transport } from "../../transports/transport.ts";

/** A broker to test against. Made for each case, disposed of after it. */
export interface Harness extends AsyncDisposable {
  /** The transport. */
  readonly transport: Transport;
  /** The URL of the broker. */
  readonly url: string;
  /** The transport's own options. */
  readonly transportOptions?: Readonly<Record<string, unknown>> | undefined;
  /** The largest body that the broker takes, bytes, where that is less than a mebibyte; a larger one is then refused. */
  readonly largestBody?: number | undefined;
  /** Why messages may come in another order than they were published, and what is put back in any place; leaves out the cases about that. */
  readonly unordered?: string | undefined;
  /**
   * Whether the broker tells the time by a clock of its own, which the calendar of no client
   * moves; turns on the cases about that. What lies in files or in the process goes by
   * `clock.wall()`, and leaves it out.
   */
  readonly hasOwnClock?: boolean | undefined;
  /**
   * Does something in a transaction of the broker's database, by a client of its own, and
   * commits; if `work` throws, it rolls back and throws that. Turns on the cases about
   * `publish` with a transaction.
   */
  readonly transact?:
    | (<T>(work: (transaction: SqlTransaction) => Promise<T>) => Promise<T>)
    | undefined;
  /** Restarts the broker; turns on the cases about recovery. A database in this process has nothing to restart. */
  readonly restart?: (() => Promise<void>) | undefined;
  /**
   * Starts a process that calls `runKilled` of this suite with a harness like this one
   * and with the errand; turns on the cases about processes that are killed. Resolves
   * when it has been, rejects if it has ended otherwise. The messages that such a process
   * held must be delivered again within ten seconds: a short lease is for
   * `transportOptions`.
   */
  readonly startKilled?: ((errand: string) => Promise<void>) | undefined;
}
