/** The pages of the repository: their links, their anchors, and their blocks of code. */

const ROOT = new URL("../../", import.meta.url);

/** Folders whose pages are not the project's. */
const FOREIGN: ReadonlySet<string> = new Set(["node_modules", "dist"]);

/** A page's path in the repository, and its text. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

/** Reads all pages. */
export function readPages(): readonly Page[] {
  return [...pagesIn(ROOT)].sort((a, b) => a.path < b.path ? -1 : 1);
}

function* pagesIn(folder: URL): Generator<Page> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (name.startsWith(".") || FOREIGN.has(name)) continue;
    if (isDirectory) yield* pagesIn(new URL(`${name}/`, folder));
    else if (name.endsWith(".md")) {
      const file = new URL(name, folder);
      yield {
        path: file.pathname.slice(ROOT.pathname.length),
        text: Deno.readTextFileSync(file),
      };
    }
  }
}

/**
 * Finds links that lead nowhere, and pages that nothing leads to.
 *
 * @param pages All pages.
 * @returns The problems, a line each.
 */
export function brokenLinks(pages: readonly Page[]): readonly string[] {
  const anchors = new Map(
    pages.map(({ path, text }) => [path, anchorsOf(text)]),
  );
  const reached = new Map<string, Set<string>>();
  const problems: string[] = [];
  for (const { path, text } of pages) {
    const from = new Set<string>();
    reached.set(path, from);
    for (const { target, line } of linksOf(text)) {
      const at = `${path}:${line}: ${target}`;
      const [place = "", anchor] = target.split("#");
      const file = place === ""
        ? path
        : new URL(place, new URL(path, ROOT)).pathname.slice(
          ROOT.pathname.length,
        );
      from.add(file);
      if (!isThere(file)) problems.push(`${at} is not there`);
      else if (
        anchor !== undefined && anchors.get(file)?.has(anchor) !== true
      ) {
        problems.push(`${at} has no heading of that name`);
      }
    }
  }
  const seen = new Set<string>();
  const visit = (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    reached.get(path)?.forEach(visit);
  };
  visit("README.md");
  for (const { path } of pages) {
    if (path.startsWith("docs/") && !seen.has(path)) {
      problems.push(`${path}: no link leads here from README.md`);
    }
  }
  return problems;
}

/**
 * Finds blocks of TypeScript that are not run, and do not say why.
 *
 * @param pages All pages.
 * @returns The problems, a line each.
 */
export function unexplainedBlocks(pages: readonly Page[]): readonly string[] {
  return pages.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, i) => {
      const mark = /^ *```(?:ts|typescript|js|javascript|tsx|jsx)\b(.*)$/
        .exec(line)?.[1]?.trim();
      if (mark === undefined || mark === "" || /^ignore \S/.test(mark)) {
        return [];
      }
      return [
        `${path}:${
          i + 1
        }: a block that is not run says why: \`\`\`ts ignore a fragment, or needs RabbitMQ`,
      ];
    })
  );
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(new URL(path, ROOT));
    return true;
  } catch {
    return false;
  }
}

/** Links to files and headings; those to other hosts are left out, and what stands in code. */
function* linksOf(
  text: string,
): Generator<{ readonly target: string; readonly line: number }> {
  const bare = text.replace(
    /^( *)```.*?^\1```|`[^`\n]*`/gms,
    (code) => code.replace(/[^\n]/g, " "),
  );
  for (const match of bare.matchAll(/\]\(\s*<?([^)\s>]+)/g)) {
    const target = match[1] ?? "";
    if (/^[a-z]+:/.test(target)) continue;
    yield { target, line: bare.slice(0, match.index).split("\n").length };
  }
}

/** The names of a page's headings, as GitHub and JSR make them. */
function anchorsOf(text: string): ReadonlySet<string> {
  const names = new Set<string>();
  const counts = new Map<string, number>();
  const bare = text.replace(/^( *)```.*?^\1```/gms, "");
  for (const [, heading = ""] of bare.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const name = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, "").replaceAll(" ", "-");
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    names.add(count === 0 ? name : `${name}-${count}`);
  }
  return names;
}

/**
 * Finds tests that pages name, and that are not there.
 *
 * @param pages All pages.
 * @param tests The paths of all files of tests.
 * @returns The problems, a line each.
 */
export function unknownTests(
  pages: readonly Page[],
  tests: readonly string[],
): readonly string[] {
  return pages.filter(({ path }) => path !== "CHANGELOG.md").flatMap((
    { path, text },
  ) =>
    [...text.matchAll(/`([\w/]+_test\.ts)`/g)]
      .map(([, name = ""]) => name)
      .filter((name) => !tests.some((each) => `/${each}`.endsWith(`/${name}`)))
      .map((name) => `${path}: there is no test ${name}`)
  );
}

/** The paths of all files of tests, in the repository. */
export function testFiles(folder: URL = new URL("tests/", ROOT)): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(new URL(`${name}/`, folder));
    const path = new URL(name, folder).pathname.slice(ROOT.pathname.length);
    return name.endsWith("_test.ts") ? [path] : [];
  });
}
