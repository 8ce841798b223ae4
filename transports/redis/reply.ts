/** What the server answers. Texts are bytes. */
export type RedisReply = number | Uint8Array | null | readonly RedisReply[];

/** What a command or a script is given. */
export type RedisArgument = string | number | Uint8Array;

/**
 * Reads a text that the server sent as bytes.
 *
 * @param reply The answer.
 * @returns The text.
 */
export function decode(reply: unknown): string {
  return reply instanceof Uint8Array ? DECODER.decode(reply) : String(reply);
}

const DECODER = new TextDecoder();
