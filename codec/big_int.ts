import { DecodeError } from "../model/errors.ts";

/**
 * The maximum number of digits of an integer that is read: as many as Python reads where nobody
 * sets another limit. To read one takes a time that grows faster than it does.
 */
export const MAX_DIGITS = 4300;

/**
 * Reads an integer of any size that a peer may have written.
 *
 * @param source It, as JavaScript writes integers, with a sign or a prefix such as `0x`.
 * @returns The integer.
 * @throws {DecodeError} If it has more digits than Python would read.
 * @throws {SyntaxError} If it is none.
 */
export function readBigInt(source: string): bigint {
  const digits = source.startsWith("-") ? source.length - 1 : source.length;
  if (digits <= MAX_DIGITS) return BigInt(source);
  throw new DecodeError(
    `Cannot decode an integer of ${digits} digits: at most ${MAX_DIGITS} are read`,
  );
}
