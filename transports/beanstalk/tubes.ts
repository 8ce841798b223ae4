import { PreconditionFailedError } from "../../model/errors.ts";

/** The longest name of a tube, bytes. */
export const MAX_TUBE = 200;

/** The characters that a tube's name may consist of. */
const PLAIN = /^[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]*$/;

/** How a byte is written that may not stand in a tube's name. */
const ESCAPED = /\$[0-9a-f]{2}/;

/**
 * Names the tube of a queue: by the queue's name, where beanstalkd takes it. In one
 * that it does not take (a colon, `@`, a space, what is not ASCII), each byte that may
 * not stand there, and each `$`, is `$` and two hexadecimal digits, so that no two
 * queues share a tube.
 *
 * @param queue The queue's name.
 * @returns The tube's name.
 * @throws {PreconditionFailedError} If it would be too long, or is empty.
 */
export function tubeOf(queue: string): string {
  if (!queue.isWellFormed()) {
    throw new PreconditionFailedError(
      `Cannot use a queue named ${
        JSON.stringify(queue)
      }: half a surrogate pair has no form in UTF-8`,
      { outcome: "not-sent" },
    );
  }
  const tube = PLAIN.test(queue) && !ESCAPED.test(queue)
    ? queue
    : escapeName(queue);
  if (tube.length > 0 && tube.length <= MAX_TUBE) return tube;
  throw new PreconditionFailedError(
    `Cannot use a queue named "${queue}": the name of its tube would have ${tube.length} bytes; beanstalkd takes 1 to ${MAX_TUBE}`,
    { outcome: "not-sent" },
  );
}

function escapeName(queue: string): string {
  let tube = "";
  for (const byte of new TextEncoder().encode(queue)) {
    const char = String.fromCharCode(byte);
    const plain = char !== "$" && PLAIN.test(tube === "" ? char : `a${char}`);
    tube += plain ? char : `$${byte.toString(16).padStart(2, "0")}`;
  }
  return tube;
}

/**
 * Names the queue of a tube: what {@linkcode tubeOf} has made of it.
 *
 * @param tube The tube's name.
 * @returns The queue's name; the tube's where no queue of ours has such a tube.
 */
export function queueOf(tube: string): string {
  const bytes: number[] = [];
  for (const [part] of tube.matchAll(/\$[0-9a-f]{2}|./g)) {
    bytes.push(
      part.length > 1 ? parseInt(part.slice(1), 16) : part.charCodeAt(0),
    );
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const queue = text.decode(new Uint8Array(bytes));
    return tubeOf(queue) === tube ? queue : tube;
  } catch {
    return tube;
  }
}

/** The names of tubes that were asked for before. */
export class Tubes {
  readonly #known = new Map<string, string>();

  /** Names the tube of a queue, as {@linkcode tubeOf} does. */
  of(queue: string): string {
    let tube = this.#known.get(queue);
    if (tube === undefined) {
      if (this.#known.size >= 10_000) this.#known.clear();
      this.#known.set(queue, tube = tubeOf(queue));
    }
    return tube;
  }
}
