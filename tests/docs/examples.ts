/** Which exports of the package have no example that asserts something. */

import config from "../../deno.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);

interface Documentation {
  readonly nodes: Readonly<
    Record<string, {
      readonly module_doc?: {
        readonly doc?: string;
        readonly tags?: readonly { readonly doc?: string }[];
      };
      readonly symbols: readonly {
        readonly name: string;
        readonly declarations: readonly Declaration[];
      }[];
    }>
  >;
}

interface Declaration {
  readonly kind: string;
  readonly declarationKind: string;
  readonly location: { readonly filename: string; readonly line: number };
  readonly jsDoc?: {
    readonly tags?: readonly { readonly kind: string; readonly doc?: string }[];
  };
}

/** What is called or made: its use is not to be seen from its type. */
const KINDS: ReadonlySet<string> = new Set(["function", "class"]);

/** A block of an example: what its first line says behind `ts`, and its code. */
const BLOCK = /```ts\b([^\n]*)\n(.*?)```/gs;

/**
 * Finds functions and classes of the package's entries without an example that
 * asserts, and blocks that are not run and do not say why.
 *
 * @returns The problems, a line each.
 */
export async function missingExamples(): Promise<readonly string[]> {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...Object.values(config.exports)],
    cwd: ROOT.pathname,
    stderr: "null",
  }).output();
  if (!success) throw new Error("deno doc --json");
  const { nodes }: Documentation = JSON.parse(new TextDecoder().decode(stdout));
  const values = await valuesOfEntries();
  const problems = new Set<string>();
  for (const [module, { module_doc, symbols }] of Object.entries(nodes)) {
    const path = module.slice(ROOT.href.length);
    const about = module_doc?.doc ?? "";
    if (about === "") problems.add(`${path}: an entry says what it is for`);
    const examples = (module_doc?.tags ?? []).map(({ doc = "" }) => doc);
    for (const { mark } of blocksOf([about, ...examples].join("\n"))) {
      if (mark === "ignore") problems.add(`${path}: ${WHY}`);
    }
    for (const { name, declarations } of symbols) {
      if (!values.has(name)) continue;
      for (const each of declarations) {
        const problem = problemOf(each);
        if (problem !== undefined) {
          problems.add(`${placeOf(each)} ${name}: ${problem}`);
        }
      }
    }
  }
  return [...problems].sort();
}

const WHY = "a block that is not run says why: ```ts ignore needs RabbitMQ";

function problemOf(
  { kind, declarationKind, jsDoc }: Declaration,
): string | undefined {
  if (declarationKind !== "export" || !KINDS.has(kind)) return undefined;
  const blocks = (jsDoc?.tags ?? []).filter((tag) => tag.kind === "example")
    .flatMap(({ doc = "" }) => [...blocksOf(doc)]);
  if (blocks.some(({ mark }) => mark === "ignore")) return WHY;
  const isShown = blocks.some(({ mark, code }) =>
    mark.startsWith("ignore ") || /\bassert\w*\(/.test(code)
  );
  return isShown
    ? undefined
    : `an @example that asserts shows its use, or says behind "ts ignore" why it cannot be run`;
}

function* blocksOf(
  text: string,
): Generator<{ readonly mark: string; readonly code: string }> {
  for (const [, mark = "", code = ""] of text.matchAll(BLOCK)) {
    yield { mark: mark.trim(), code };
  }
}

function placeOf({ location }: Declaration): string {
  return `${location.filename.slice(ROOT.href.length)}:${location.line + 1}`;
}

/** The names of the values that can be imported: of some modules an entry exports the types alone. */
async function valuesOfEntries(): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const path of Object.values(config.exports)) {
    const module: object = await import(new URL(path, ROOT).href);
    for (const name of Object.keys(module)) names.add(name);
  }
  return names;
}
