import { inspect } from "node:util";

/**
 * Finds secrets that can be reached from a value: through properties, hidden ones and
 * symbols among them, getters, maps, sets, lists and bytes, and in what printing it shows.
 *
 * @param root The value.
 * @param secrets Secrets that must not be found, as they are or encoded as in URLs and headers.
 * @param depth How far to go.
 * @returns The paths of those that were found.
 */
export function reach(
  root: unknown,
  secrets: readonly string[],
  depth = 12,
): string[] {
  const forms = secrets.flatMap((each) => [
    each,
    encodeURIComponent(each),
    btoa(each),
    btoa(`:${each}`),
    btoa(`user:${each}`),
  ]);
  const has = (text: string) => forms.some((form) => text.includes(form));
  const seen = new Set<unknown>([globalThis]);
  const found: string[] = [];
  const go = (value: unknown, path: string, left: number): void => {
    if (typeof value === "string") {
      if (has(value)) found.push(path);
      return;
    }
    if (typeof value !== "object" && typeof value !== "function") return;
    if (value === null || left < 0 || seen.has(value)) return;
    seen.add(value);
    if (value instanceof Uint8Array) {
      const text = new TextDecoder("latin1").decode(value.subarray(0, 10_000));
      if (has(text)) found.push(path);
      return;
    }
    if (value instanceof Map) go([...value], `${path}<map>`, left - 1);
    if (value instanceof Set) go([...value], `${path}<set>`, left - 1);
    for (const key of Reflect.ownKeys(value)) {
      if (has(String(key))) found.push(`${path}.${String(key)} (the name)`);
      go(read(value, key, value), `${path}.${String(key)}`, left - 1);
    }
    // Getters that its class has.
    for (
      let each: object | null = Object.getPrototypeOf(value);
      each !== null && each !== Object.prototype;
      each = Object.getPrototypeOf(each)
    ) {
      for (const key of Reflect.ownKeys(each)) {
        const getter = Object.getOwnPropertyDescriptor(each, key)?.get;
        if (getter === undefined || key === "__proto__") continue;
        go(
          read(each, key, value),
          `${path}.${String(key)} (a getter)`,
          left - 1,
        );
      }
    }
  };
  go(root, "$", depth);
  if (has(inspect(root, { depth: 10, showHidden: true }))) {
    found.push("inspected");
  }
  return found;
}

function read(from: object, key: PropertyKey, receiver: object): unknown {
  try {
    return Reflect.get(from, key, receiver);
  } catch {
    return undefined;
  }
}
