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
    if (Object(error) !== error) return String(error);
    const { message } = error as { readonly message?: unknown };
    if (typeof message === "string" && message !== "") return message;
    if (!(error instanceof Error)) return textOfObject(error as object);
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

/** Of one that says nothing by itself its code or its name, for its fields may be secrets. */
function textOfObject(thrown: object): string {
  const said = String(thrown);
  if (!/^\[object \w+\]$/.test(said)) return said;
  const { code, name } = thrown as Partial<Record<"code" | "name", unknown>>;
  const named = [code, name].find((each) =>
    typeof each === "number" || (typeof each === "string" && each !== "")
  );
  return named === undefined
    ? `${said}, which is no Error and has no "message"`
    : String(named);
}

/**
 * Makes an error of what was thrown, one whose name and message are texts. An object with a
 * name and a message, as many clients throw them and as errors of other realms are, keeps both.
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
  const error = new Error(errorText(thrown));
  const name = nameOf(thrown);
  if (name !== undefined) error.name = name;
  return error;
}

function nameOf(thrown: unknown): string | undefined {
  try {
    if (Object(thrown) !== thrown || typeof thrown === "function") return;
    const { name, message } = thrown as Record<"name" | "message", unknown>;
    return typeof name === "string" && name !== "" &&
        typeof message === "string"
      ? name
      : undefined;
  } catch {
    return undefined;
  }
}
