import { atNextTurn } from "../../async/turn.ts";

/** The part of a socket that is used here. */
export interface Corkable {
  cork(): void;
  uncork(): void;
  prependListener(event: "drain", listener: () => void): unknown;
}

/**
 * Keeps what is written within a turn of the event loop together: amqplib writes
 * every frame to the socket by itself, and a system call for each costs a tenth of
 * the rate.
 */
export class Corking {
  readonly #socket: Corkable | undefined;
  #corked = false;

  /** Makes one for a socket; without one it does nothing. */
  constructor(socket: Corkable | undefined) {
    this.#socket = socket;
    // Behind a full socket amqplib writes on when this comes; first, it is corked.
    socket?.prependListener("drain", () => this.cork());
  }

  /** Something is about to be written. */
  cork(): void {
    if (this.#corked || this.#socket === undefined) return;
    this.#corked = true;
    this.#socket.cork();
    // amqplib writes on the next turn itself; this must come behind it.
    atNextTurn(() => atNextTurn(this.flush));
  }

  /** Lets go what was written. */
  readonly flush = (): void => {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket?.uncork();
  };
}
