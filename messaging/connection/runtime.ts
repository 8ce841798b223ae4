/** The features that the library needs of its runtime, by the names under which people look them up, with the youngest. */
const NEEDS: readonly (readonly [name: string, has: () => boolean])[] = [
  [
    "Promise.withResolvers",
    () => typeof Promise.withResolvers === "function",
  ],
  [
    "iterator helpers",
    () => typeof [].values().map === "function",
  ],
];

/**
 * Refuses a runtime that is too old: its first error would be one of a function that is
 * not there, somewhere within.
 *
 * @throws {Error} Which ones will do, and which one this is.
 */
export function requireRuntime(
  needs: typeof NEEDS = NEEDS,
): void {
  const lacking = needs.filter(([, has]) => !has()).map(([name]) => name);
  if (lacking.length === 0) return;
  throw new Error(
    `@dashi/mq needs Deno 2, Node 22.12 or Bun 1.2.17, or a later one; this is ${runtimeName()}, which lacks ${
      lacking.join(" and ")
    }`,
  );
}

/** By names that are there without a runtime's own modules. */
function runtimeName(): string {
  const { navigator, process } = globalThis as {
    readonly navigator?: { readonly userAgent?: string };
    readonly process?: { readonly version?: string };
  };
  return navigator?.userAgent ??
    (process?.version === undefined
      ? "another one"
      : `Node ${process.version}`);
}
