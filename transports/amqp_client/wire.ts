import type { Peer } from "../peer.ts";

/** A way to the broker that carries bytes. */
export interface Wire {
  /** Sends bytes, in order; calls back, always, when they have left the process. */
  write(bytes: Uint8Array, done?: (error?: unknown) => void): void;
  /**
   * Calls back, always, when earlier bytes have left the process. `mark` is
   * written behind it: something that means nothing to the other side. @default {AMQP's}
   */
  left(done: (error?: unknown) => void, mark?: Uint8Array): void;
  /** Tells who is at its other end, where it is a socket. */
  peer?(): Peer | undefined;
  /** Ends it when earlier bytes have left. */
  end(): void;
  /** Ends it now. */
  destroy(): void;
}

/** The events of a wire. None of these may throw. */
export interface WireEvents {
  /** It is open: TLS is agreed upon. */
  opened(): void;
  /** Bytes came. */
  received(bytes: Uint8Array): void;
  /** It has ended, once; the error says why, if it is known. */
  closed(error: unknown): void;
}
