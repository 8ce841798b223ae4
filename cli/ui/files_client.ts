import { readFile } from "node:fs/promises";

const FOLDER = new URL("./page/", import.meta.url);

/**
 * Reads a file of the page: of a checkout, of an installed package, or of a registry that
 * serves modules by URL.
 *
 * @param name The file.
 * @returns Its bytes.
 */
export async function pageFile(name: string): Promise<Uint8Array> {
  const url = new URL(name, FOLDER);
  if (url.protocol === "file:") return await readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the page's "${name}" is not at "${url}"`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Files of the chart library, as a text where the runtime imports one. Node and Bun find them by their names. */
const CHARTS: Readonly<
  Record<string, () => Promise<{ readonly default: unknown }>>
> = {
  "uPlot.esm.js": () =>
    import("uplot/dist/uPlot.esm.js", { with: { type: "text" } }),
  "uPlot.min.css": () =>
    import("uplot/dist/uPlot.min.css", { with: { type: "text" } }),
};

/**
 * Reads a file of the chart library.
 *
 * @param name The file.
 * @returns It; nothing where the library is not installed.
 */
export async function chartFile(
  name: "uPlot.esm.js" | "uPlot.min.css",
): Promise<string | Uint8Array | undefined> {
  try {
    const loaded = await CHARTS[name]?.();
    if (typeof loaded?.default === "string") return loaded.default;
  } catch {
    // It imports no text, or has no such package.
  }
  try {
    return await readFile(new URL(import.meta.resolve(`uplot/dist/${name}`)));
  } catch {
    return undefined;
  }
}
