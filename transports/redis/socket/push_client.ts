import { Command } from "ioredis";
import { Buffer } from "node:buffer";

/**
 * `LPUSH` of texts whose sizes are known, made one by one. By itself the client copies
 * each text to learn its size and again to join them, and holds them all until the answer:
 * a third of what a publish costs.
 */
export class Push extends Command {
  /** The list's key. */
  readonly list: string;
  #count = 0;
  #texts = "";
  #isAscii: boolean;

  /** Makes one that has no texts yet. */
  constructor(list: string) {
    super("lpush", [list]);
    this.list = list;
    this.#isAscii = byteLength(list) === list.length;
  }

  /** Adds a text of so many bytes as UTF-8. */
  add(text: string, size: number): void {
    this.#count++;
    if (size !== text.length) this.#isAscii = false;
    this.#texts += `$${size}\r\n${text}\r\n`;
  }

  override toWritable(socket: object): string {
    const list = `$${byteLength(this.list)}\r\n${this.list}`;
    const written = `*${
      this.#count + 2
    }\r\n$5\r\nlpush\r\n${list}\r\n${this.#texts}`;
    // Once: until the answer nobody is to hold what is on its way.
    this.#texts = "";
    this.#count = 0;
    if (!this.#isAscii || written.length < LARGE || !isWriter(socket)) {
      return written;
    }
    // The client writes what is returned as UTF-8, which costs three times as much: where
    // each character is a byte, it has the end of the last line left to write.
    socket.write(written.slice(0, -2), "latin1");
    return "\r\n";
  }
}

/** From so many characters on a second write costs less than it saves. */
const LARGE = 16_384;

function isWriter(
  socket: object,
): socket is { write(text: string, encoding: "latin1"): unknown } {
  return "write" in socket && typeof socket.write === "function";
}

/** Says how many bytes a text has as UTF-8. */
export function byteLength(text: string): number {
  return Buffer.byteLength(text);
}
