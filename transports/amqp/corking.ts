import { atNextTurn } from "../../async/turn.ts";
import { endMark } from "../amqp_protocol/port.ts";

/** The part of a socket that is used here. */
export interface Corkable {
  cork(): void;
  uncork(): void;
  prependListener(event: "drain", listener: () => void): unknown;
  once(event: "close", listener: () => void): unknown;
  write(bytes: Uint8Array, done: (error?: Error | null) => void): unknown;
  /** Whether it is full, so that amqplib keeps frames back. */
  readonly writableNeedDrain: boolean;
  /** Of TLS. */
  readonly encrypted?: boolean;
}

/** Is told when its frames have left. */
export type Done = (error?: unknown) => void;

/**
 * Keeps the frames of one turn of the event loop together: amqplib writes
 * every frame to the socket by itself, and a system call for each costs a tenth of
 * the rate.
 */
export class Corking {
  readonly #socket: Corkable | undefined;
  #corked = false;
  #gone = false;
  /** The settlements and publishes whose frames are written with the next flush, or later. */
  #waiting: Done[] = [];

  /** Makes one for a socket; without one it does nothing. */
  constructor(socket: Corkable | undefined) {
    this.#socket = socket;
    // Behind a full socket amqplib writes on when this comes; first, it is corked.
    socket?.prependListener("drain", () => this.cork());
    socket?.once("close", () => {
      this.#gone = true;
      for (const done of this.#takeWaiting()) done(cut());
    });
  }

  /** Something is about to be written. */
  cork(): void {
    if (this.#corked || this.#socket === undefined) return;
    this.#corked = true;
    this.#socket.cork();
    // amqplib writes on the next turn itself; this must come behind it.
    atNextTurn(() => atNextTurn(this.flush));
  }

  /** Sends the frames that were written. */
  readonly flush = (): void => {
    const socket = this.#socket;
    if (!this.#corked || socket === undefined) return;
    this.#corked = false;
    // Of a full socket nobody knows which frames amqplib still has: they go when it drains.
    if (!socket.writableNeedDrain && this.#waiting.length > 0) {
      const waiting = this.#takeWaiting();
      // In one system call with the frames before it.
      socket.write(endMark(socket.encrypted === true), (error) => {
        for (const done of waiting) done(error ?? undefined);
      });
    }
    socket.uncork();
  };

  /** Calls back when earlier frames have left the process. */
  left(done: Done): void {
    if (this.#socket === undefined) return done();
    if (this.#gone) return done(cut());
    this.#waiting.push(done);
    this.cork();
  }

  #takeWaiting(): Done[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}

function cut(): Error {
  return new Error("the socket was closed");
}
