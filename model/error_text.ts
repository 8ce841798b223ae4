/** So deep are errors within errors looked at, and so many of them side by side. */
const [MAX_DEPTH, MAX_PARTS] = [3, 10];

/**
 * Says what an error says: of one without a message its parts, its code or its name. It
 * never throws: what a program throws may be anything.
 *
 * @param error The thrown value.
 * @returns The text; never empty.
 */
export function errorText(error: unknown): string {
  return textOf(error, MAX_DEPTH) || "an error that says nothing";
}

function textOf(error: unknown, depth: number): string {
  try {
    if (!(error instanceof Error)) return String(error);
    const { message } = error;
    if (typeof message === "string" && message !== "") return message;
    // A host with several addresses: the text is in the parts.
    if (error instanceof AggregateError && depth > 0) {
      return error.errors.slice(0, MAX_PARTS)
        .map((each) => textOf(each, depth - 1)).join("; ");
    }
    return String("code" in error ? error.code : error.name);
  } catch {
    return "an error that cannot be read";
  }
}

/**
 * Makes an error of what was thrown, one whose name and message are texts.
 *
 * @param thrown The thrown value: anything, in JavaScript.
 * @returns The error.
 */
export function asError(thrown: unknown): Error {
  try {
    if (
      thrown instanceof Error && typeof thrown.message === "string" &&
      typeof thrown.name === "string"
    ) return thrown;
  } catch {
    // A getter threw, or a proxy did.
  }
  return new Error(errorText(thrown));
}
