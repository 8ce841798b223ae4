import type { ConnectOptions } from "../transport.ts";

/**
 * Tells, once, that the server takes no writes, and why; and that it does again. Several parts
 * of a connection may be refused at a time, in a cluster each by another node.
 */
export class Refusing {
  readonly #onEvent: ConnectOptions["onEvent"];
  readonly #parts = new Set<object>();

  /** Makes one that was refused nothing. */
  constructor(onEvent: ConnectOptions["onEvent"]) {
    this.#onEvent = onEvent;
  }

  /** A part was refused, with those words. */
  begin(part: object, reason: string): void {
    if (this.#parts.size === 0) this.#onEvent?.({ type: "blocked", reason });
    this.#parts.add(part);
  }

  /** The connection is closed: it is refused nothing more. */
  close(): void {
    for (const part of [...this.#parts]) this.end(part);
  }

  /** What a part writes is taken. */
  end(part: object): void {
    if (!this.#parts.delete(part) || this.#parts.size > 0) return;
    this.#onEvent?.({ type: "unblocked" });
  }
}
