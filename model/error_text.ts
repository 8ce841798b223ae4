/**
 * Says what an error says: of one without a message its parts, its code or its name.
 *
 * @param error What was thrown.
 * @returns The text; never empty.
 */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  // A host with several addresses: the text is in the parts.
  if (error instanceof AggregateError) {
    return error.errors.map(errorText).join("; ");
  }
  return "code" in error ? String(error.code) : error.name;
}
