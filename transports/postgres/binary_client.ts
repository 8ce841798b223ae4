import { Buffer } from "node:buffer";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import { Slab } from "../../model/slab.ts";
import type { Value } from "../sql/port.ts";

/** A socket of `node:net` or `node:tls`, as far as it is used here. */
export interface DataSocket {
  listeners(event: "data"): readonly unknown[];
  removeListener(event: "data", listener: unknown): unknown;
  on(event: "data", listener: (bytes: Buffer) => void): unknown;
  destroy(error: Error): unknown;
}

/** Codes of the protocol's messages: a row, and what comes before the first and behind the last. */
const [ROW, DESCRIPTION, COMPLETE, ERROR] = [68, 84, 67, 69];

/** Bytes of a message's code and of its length. */
const HEAD = 5;

/** PostgreSQL's types that are no bytes here. */
const [BIGINT, INTEGER, TEXT] = [20, 23, 25];

const NONE = Buffer.alloc(0);

/**
 * Takes rows in binary form off the socket of a client that reads those of text alone: as
 * text a body is twice as long, and a string before it is bytes. All else that the server
 * says goes on to the client, which takes messages at any length: those are bounded here.
 */
export class RowReader {
  readonly #most: number;
  readonly #slab = new Slab();
  /** Types of the columns that come now; `undefined`: the rows are the client's. */
  #types: readonly number[] | undefined;
  #rows: Value[][] = [];
  /** So many bytes of a message of the client's are yet to come. */
  #passing = 0;
  /** The beginning of a message whose length is not there yet. */
  #head: Buffer = NONE;
  /** The pieces of a row that is not there whole, and how many bytes it lacks. */
  #pieces: Buffer[] = [];
  #missing = 0;

  /** Makes one of a connection; `most` is the option `maxResponseSize`. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Stands between a socket and the client, which listens already, and before all others. */
  attach(socket: DataSocket): void {
    const [listener] = socket.listeners("data");
    if (typeof listener !== "function") {
      throw new TypeError("the client does not listen to its socket");
    }
    const pass = (bytes: Buffer) => {
      if (bytes.length > 0) listener(bytes);
    };
    socket.removeListener("data", listener);
    socket.on("data", (bytes) => {
      try {
        this.#read(this.#fill(bytes), pass);
      } catch (cause) {
        // Not what a server says: nothing more of it can be read.
        socket.destroy(
          cause instanceof ResponseTooLargeError
            ? cause
            : new Error("the server's answer is no answer", { cause }),
        );
      }
    });
  }

  /**
   * Takes the rows of the answer whose description the client reads at the moment.
   *
   * @param types The types of its columns.
   * @param rows Is given the rows, as lists of their values.
   */
  begin(types: readonly number[], rows: Value[][]): void {
    this.#types = types;
    this.#rows = rows;
  }

  #read(received: Buffer, pass: (bytes: Buffer) => void): void {
    const bytes = this.#head.length === 0
      ? received
      : Buffer.concat([this.#head, received]);
    // What was passed on ends here, and the next message begins.
    let at = Math.min(this.#passing, bytes.length);
    this.#passing -= at;
    pass(bytes.subarray(0, at));
    let from = at;
    while (bytes.length - at >= HEAD) {
      const code = bytes[at];
      const length = bytes.readUInt32BE(at + 1);
      if (length > this.#most) throw new ResponseTooLargeError(this.#most);
      const end = at + 1 + length;
      if (code === ROW && this.#types !== undefined) {
        pass(bytes.subarray(from, at));
        if (end <= bytes.length) this.#take(bytes.subarray(at, end));
        else this.#begin(end - at, bytes.subarray(at));
        from = at = Math.min(end, bytes.length);
        continue;
      }
      if (code === COMPLETE || code === ERROR) this.#types = undefined;
      at = Math.min(end, bytes.length);
      this.#passing = end - at;
      // Whose the rows are is known when the client has read this.
      if (code === DESCRIPTION) {
        pass(bytes.subarray(from, at));
        from = at;
      }
    }
    pass(bytes.subarray(from, at));
    this.#head = bytes.subarray(at);
  }

  #begin(size: number, bytes: Buffer): void {
    this.#pieces = [bytes];
    this.#missing = size - bytes.length;
  }

  /** Goes on with a row that was begun; returns what is behind it. */
  #fill(received: Buffer): Buffer {
    if (this.#missing === 0) return received;
    const piece = received.subarray(0, this.#missing);
    this.#pieces.push(piece);
    this.#missing -= piece.length;
    if (this.#missing === 0) {
      this.#take(Buffer.concat(this.#pieces));
      this.#pieces = [];
    }
    return received.subarray(piece.length);
  }

  #take(message: Buffer): void {
    const row: Value[] = [];
    let at = HEAD + 2; // behind the number of columns
    for (const type of this.#types ?? []) {
      const size = message.readInt32BE(at);
      at += 4;
      if (size < 0) {
        row.push(null);
        continue;
      }
      row.push(this.#value(type, message, at, at + size));
      at += size;
    }
    this.#rows.push(row);
  }

  #value(type: number, bytes: Buffer, from: number, to: number): Value {
    switch (type) {
      case BIGINT:
        return bytes.readInt32BE(from) * 2 ** 32 +
          bytes.readUInt32BE(from + 4);
      case INTEGER:
        return bytes.readInt32BE(from);
      case TEXT:
        return bytes.toString("utf8", from, to);
      default:
        return this.#slab.copy(bytes.subarray(from, to));
    }
  }
}
