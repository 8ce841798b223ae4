import {
  MAX_RESPONSE,
  ResponseTooLargeError,
} from "../../model/response_limit.ts";

/**
 * Reads the body of an answer, as it comes.
 *
 * @param body The body; `null` is an empty one.
 * @param signal The one that ends its request.
 * @param onText Called with each piece of it. An error that it throws ends the request.
 * @throws The signal's reason, if it has aborted.
 */
export async function readBody(
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
  onText: (text: string, bytes: number) => void,
): Promise<void> {
  const reader = body?.getReader();
  if (reader === undefined) return;
  // Deno forgets the signal of a request whose response was collected as garbage.
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel);
  const decoder = new TextDecoder();
  try {
    if (signal.aborted) cancel();
    for (;;) {
      const { value } = await reader.read();
      if (value === undefined) break;
      onText(decoder.decode(value, { stream: true }), value.byteLength);
    }
  } catch (error) {
    cancel();
    throw error;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  signal.throwIfAborted();
}

/**
 * Reads all of the body of an answer.
 *
 * @param body The body; `null` is an empty one.
 * @param signal The one that ends its request.
 * @param most The maximum number of bytes that it may have, after it is decompressed.
 * @returns The message.
 * @throws The signal's reason, if it has aborted.
 * @throws {ResponseTooLargeError} If it has more.
 */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
  most: number = MAX_RESPONSE,
): Promise<string> {
  let text = "";
  let size = 0;
  await readBody(body, signal, (piece, bytes) => {
    size += bytes;
    if (size > most) throw new ResponseTooLargeError(most);
    text += piece;
  });
  return text;
}

/** Cuts a text into its lines, as it comes. */
export class Lines {
  readonly #most: number;
  readonly #onLine: (line: string) => void;
  /** The beginning of a line whose end has not come: joined once, when it has. */
  #parts: string[] = [];
  #length = 0;

  /** Makes one; a line of more than `most` characters is refused. */
  constructor(most: number, onLine: (line: string) => void) {
    this.#most = most;
    this.#onLine = onLine;
  }

  /**
   * Takes the next piece.
   *
   * @param text The piece.
   * @throws {ResponseTooLargeError} If a line is too long.
   */
  push(text: string): void {
    let from = 0;
    for (
      let end = text.indexOf("\n");
      end >= 0;
      end = text.indexOf("\n", from)
    ) {
      this.#keep(text.slice(from, end));
      const line = this.#parts.join("");
      this.#parts = [];
      this.#length = 0;
      from = end + 1;
      this.#onLine(line);
    }
    this.#keep(text.slice(from));
  }

  #keep(part: string): void {
    if (part === "") return;
    this.#length += part.length;
    if (this.#length > this.#most) throw new ResponseTooLargeError(this.#most);
    this.#parts.push(part);
  }
}

/**
 * Reads the text of a whole answer.
 *
 * @param text The text.
 * @returns The content; `undefined` where there is none.
 */
export function parseBody(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error("the answer is no JSON: is this CouchDB?", { cause });
  }
}
