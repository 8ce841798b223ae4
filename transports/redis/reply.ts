import { ConnectionError } from "../../model/errors.ts";

/** A reply of the server. Texts are bytes. */
export type RedisReply = number | Uint8Array | null | readonly RedisReply[];

/** An argument of a command or a script. */
export type RedisArgument = string | number | Uint8Array;

/** Reads a text that the server sent as bytes. */
export function decode(reply: unknown): string {
  return reply instanceof Uint8Array ? DECODER.decode(reply) : String(reply);
}

/**
 * Reads the answer to INFO.
 *
 * @returns Says the value of a name; `undefined` if it is not in it.
 */
export function valuesIn(info: string): (name: string) => string | undefined {
  return (name) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
}

const DECODER = new TextDecoder();

/**
 * Looks whether an answer of a script is a list.
 *
 * @throws {ConnectionError} If it is none: the other side is not what it should be.
 */
export function listOf(reply: RedisReply): readonly RedisReply[] {
  if (Array.isArray(reply)) return reply;
  throw new ConnectionError(
    "The server answered a script with something else than its result",
    { code: "connection-lost", outcome: "unknown" },
  );
}
