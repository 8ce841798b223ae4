import { errorText } from "../../model/error_text.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { printable } from "../../model/foreign_text.ts";
import { maskSecrets } from "../../model/secrets.ts";

/** The maximum number of bytes of the name of an error. */
const MAX_NAME = 255;
/** And of its message. */
const MAX_MESSAGE = 1024;
/** So much of either is looked at, UTF-16 units. */
const MAX_READ = 16_384;

/**
 * Makes the headers that say why a handler failed: they travel with the retry, and with
 * what is parked. Control characters are shown as escape sequences, secrets are masked,
 * and long texts are cut off.
 *
 * @param error The thrown value.
 * @param now The time, ms since 1970.
 * @param secrets Secrets that must not be shown, as the connection's password.
 * @returns `x-error-name`, `x-error-message` and `x-error-at`, the time in ISO 8601.
 */
export function failureHeaders(
  error: Error,
  now: number,
  secrets: readonly string[],
): FieldTable {
  const text = (said: string, most: number) =>
    cut(maskSecrets(said.slice(0, MAX_READ), secrets), most);
  return {
    "x-error-name": text(String(error.name), MAX_NAME),
    "x-error-message": text(errorText(error), MAX_MESSAGE),
    "x-error-at": new Date(now).toISOString(),
  };
}

/** In one line, of at most so many bytes. */
function cut(said: string, most: number): string {
  const shown = printable(said.toWellFormed(), said.length);
  const bytes = new TextEncoder().encode(shown);
  if (bytes.length <= most) return shown;
  const room = most - 3; // for the dots
  // A character of which a part is left is left out.
  const kept = new TextDecoder().decode(bytes.subarray(0, room), {
    stream: true,
  });
  return `${kept}…`;
}
