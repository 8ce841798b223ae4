import { errorText } from "./error_text.ts";
import { TransportError } from "./errors.ts";

/** So deep are errors within errors looked at. */
const MAX_DEPTH = 5;

/** The words of Node and Bun, and those of Deno, for a package that is not there. */
const MISSING =
  /(?:Cannot find (?:package|module)|Import|Relative import path) ['"]((?:@[^/'"]+\/)?[^./'"][^/'"]*)/;

/**
 * Makes the error of something whose npm packages cannot be imported. Of one that is not
 * installed it says how to have it; of one that is there, why it cannot be imported.
 *
 * @param action The action that failed, as an error says it: `load the codec "yaml"`.
 * @param packages The npm packages that it imports.
 * @param cause The error of the import.
 * @returns The error, in one line; its code is `dependency-missing`.
 */
export function cannotImport(
  action: string,
  packages: readonly string[],
  cause: unknown,
): TransportError {
  return new TransportError(`Cannot ${action}: ${reason(packages, cause)}`, {
    code: "dependency-missing",
    cause,
  });
}

/**
 * Finds what a package of CommonJS exports: a bundler may hand that out as the default
 * alone, where runtimes have it by its names.
 *
 * @param imported What `import()` resolved with.
 * @param name A name that it exports.
 * @returns The exports.
 */
export function exportsOf<T extends object>(imported: T, name: keyof T): T {
  if (name in imported) return imported;
  const { default: inner }: { readonly default?: unknown } = imported;
  return isLike(inner, name) ? inner : imported;
}

function isLike<T extends object>(value: unknown, name: keyof T): value is T {
  return typeof value === "object" && value !== null && name in value;
}

function reason(packages: readonly string[], cause: unknown): string {
  const chain = causesOf(cause);
  const texts = chain.map((each) => errorText(each).split("\n")[0] ?? "");
  for (const text of texts) {
    const name = MISSING.exec(text)?.[1];
    if (name !== undefined && packages.includes(name)) return notThere(name);
  }
  if (texts.some((text) => text.includes("Dynamic require of"))) {
    const left = packages.map((name) => `--external:${name}`).join(" ");
    return `it is in a bundle of ES modules, which gives it no "require": let the bundle begin with "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" (esbuild: "banner")${
      left &&
      `, or leave it out ("${left}") and install it where the bundle runs`
    }`;
  }
  // The first of them says what failed, the last why.
  const truth = texts.at(-1) ?? "";
  return packages.length === 0
    ? truth
    : `${packages.join(" or ")} cannot be imported: ${truth}`;
}

function notThere(name: string): string {
  return `the npm package "${name}" is not installed: "npm install ${name}", "pnpm add ${name}", "yarn add ${name}", "bun add ${name}" or "deno add npm:${name}" installs it`;
}

/** An error and those within it, from the outermost on. */
function causesOf(error: unknown): readonly unknown[] {
  const chain = [error];
  for (let inner = error; chain.length < MAX_DEPTH;) {
    if (!(inner instanceof Error) || inner.cause === undefined) break;
    chain.push(inner = inner.cause);
  }
  return chain;
}
