import { checkShortString } from "../../model/checks.ts";
import { OptionError } from "../../model/errors.ts";
import type { Dedupe } from "../../model/message.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { DedupeOptions } from "./producer_options.ts";
import { checkRange } from "./publishing.ts";

const DEDUPE: KnownOptions = optionsOf<DedupeOptions>("dedupe", {
  id: true,
  window: true,
}, {
  key: '"id"',
  messageId: '"id"',
  ttl: '"window"',
  interval: '"window"',
});

/** The longest window, ms. */
const YEAR = 31_536_000_000;

/**
 * Refuses what does not say how long duplicates are known.
 *
 * @param dedupe The value as it was given.
 * @throws {OptionError} If an option is unknown, or there is no window.
 * @throws {RangeError} If the window is out of range.
 */
export function checkDedupe(dedupe: DedupeOptions): void {
  checkKnown(dedupe, DEDUPE);
  if (dedupe.window === undefined) {
    throw new OptionError(
      'Cannot publish with dedupe without "window": give the milliseconds in which a second message is put nowhere',
    );
  }
  checkRange("dedupe.window", dedupe.window, 1, YEAR);
}

/**
 * Makes the mark of a message.
 *
 * @param dedupe The option of the publish.
 * @param messageId The id that the caller gave the message.
 * @returns The mark, with a token of its own.
 * @throws {OptionError} If the message has no name that another could have.
 * @throws {RangeError} If a value is out of range.
 */
export function dedupeOf(
  dedupe: DedupeOptions,
  messageId: string | undefined,
): Dedupe {
  checkDedupe(dedupe);
  const id = dedupe.id ?? messageId;
  if (id === undefined || id === "") {
    throw new OptionError(
      'Cannot publish with dedupe without an id: give "id" in it, or "messageId"; one that is made up is never a duplicate',
    );
  }
  checkShortString('the "id" of dedupe', id);
  const window = Math.ceil(dedupe.window);
  return { id, window, token: crypto.randomUUID() };
}
