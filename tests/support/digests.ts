/** Tells whether the code of a package that is patched has changed. */

async function digestOf(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(digest).toHex().slice(0, 16);
}

/** The digests of functions' source, by their places below a root. */
export async function digests(
  root: object,
  places: Iterable<string>,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const place of places) {
    const value: unknown = place.split(".").reduce<unknown>(
      (at, name) => at instanceof Object ? Reflect.get(at, name) : undefined,
      root,
    );
    found[place] = typeof value === "function"
      ? await digestOf(Function.prototype.toString.call(value))
      : "gone";
  }
  return found;
}
