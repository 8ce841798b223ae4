/** A client without the library, and a queue. */
export interface RawClient {
  readonly name: string;
  /** `own`: with what the library adds by itself, for the broker reads it too. */
  publish(body: Uint8Array, count: number, own: boolean): Promise<number>;
  consume(count: number, prefetch: number): Promise<number>;
  purge(): Promise<void>;
  /** Deletes the queue, too. */
  close(): Promise<void>;
}
