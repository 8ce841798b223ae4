/**
 * Which tests come through which block of the sources: one that does not come to the
 * place of a mistake cannot notice it, and need not be run.
 */

import ts from "typescript";

/** A block of a function, by its place. */
interface Block {
  readonly start: number;
  readonly end: number;
}

/** The hook that is called at the start of every block, if it is set. */
declare global {
  var reached: ((block: string) => void) | undefined;
}

/**
 * Finds the blocks of a source.
 *
 * @param text Its text.
 * @returns Their places, in their order.
 */
export function blocksOf(text: string): readonly Block[] {
  const source = ts.createSourceFile(
    "x.ts",
    text,
    ts.ScriptTarget.Latest,
    true,
    ts.ScriptKind.TS,
  );
  const blocks: Block[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isBlock(node)) {
      blocks.push({ start: node.getStart(source), end: node.getEnd() });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return blocks;
}

/**
 * Makes every block of a source tell that it was reached.
 *
 * @param file Its path in the project.
 * @param text Its text.
 * @returns The changed text.
 */
export function telling(file: string, text: string): string {
  let told = "";
  let at = 0;
  for (const [i, { start }] of blocksOf(text).entries()) {
    told += `${
      text.slice(at, start + 1)
    } globalThis.reached?.("${file} ${i}");`;
    at = start + 1;
  }
  return told + text.slice(at);
}

/**
 * Names the innermost block around a place.
 *
 * @param file The source's path in the project.
 * @param blocks The source's blocks.
 * @param place The place.
 * @returns The name; `undefined` where the place is in none, such as a constant of a module.
 */
export function blockAt(
  file: string,
  blocks: readonly Block[],
  place: number,
): string | undefined {
  const index = blocks.findLastIndex(({ start, end }) =>
    start < place && place < end
  );
  return index < 0 ? undefined : `${file} ${index}`;
}

/** The code that one test reached, and its duration. */
export interface Reach {
  readonly blocks: readonly string[];
  readonly milliseconds: number;
}

/** The code that each test reached, by its name; the test of `""` is unknown. */
export type Reaches = Readonly<Record<string, Reach>>;

/**
 * Chooses the tests that may notice a mistake, those first that are likeliest to do it
 * soon.
 *
 * @param reaches The code that each reached.
 * @param block The block of the mistake; any if `undefined`.
 * @param noticed How often each has noticed one so far.
 * @returns Their names.
 */
export function testsOf(
  reaches: Reaches,
  block: string | undefined,
  noticed: ReadonlyMap<string, number>,
): readonly string[] {
  const isAnybodys = block === undefined ||
    reaches[""]?.blocks.includes(block) === true;
  return Object.entries(reaches)
    .filter(([name, { blocks }]) =>
      name !== "" && (isAnybodys || blocks.includes(block))
    )
    .map(([name, { milliseconds }]) =>
      [name, milliseconds / (1 + (noticed.get(name) ?? 0))] as const
    )
    .sort(([, a], [, b]) => a - b)
    .map(([name]) => name);
}
