// deno-lint-ignore-file no-console -- a program for people
/**
 * The programs that `docs/` shows, which are those of `examples/`: with `--write` they
 * are written into the pages anew.
 */

/** The root of the project. */
export const ROOT: URL = new URL("../../", import.meta.url);

/** The pages that show programs. */
export const PAGES: readonly string[] = ["docs/start.md", "docs/kombu.md"];

/** A link to a program that stands before a block: the block is the program. */
const SHOWN =
  /(\]\(\.\.\/examples\/([\w/]+\.(?:ts|py))\):\n\n```\w+[^\n]*\n)(.*?)(```\n)/gs;

/** A command of a session, and what it is to print. */
export interface Step {
  readonly command: string;
  readonly lines: readonly string[];
}

/** Reads a page. */
export function readPage(page: string): string {
  return Deno.readTextFileSync(new URL(page, ROOT));
}

/** The programs of a page, by their paths in `examples/`, as it shows them. */
export function programsOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(SHOWN)].map(([, , path = "", code = ""]) => [path, code]),
  );
}

/** The text of a program, without what it says to the linter. */
export function textOf(path: string): string {
  return Deno.readTextFileSync(new URL(`examples/${path}`, ROOT))
    .replace(/^\/\/ deno-lint-ignore-file .*\n/, "");
}

/** The sessions in a terminal that a page shows, by the program that each begins with. */
export function sessionsOf(text: string): ReadonlyMap<string, readonly Step[]> {
  const sessions = [...text.matchAll(/```console\n(.*?)```\n/gs)]
    .map(([, block = ""]) =>
      block.trimEnd().split(/^\$ /m).slice(1).map((part): Step => {
        const [command = "", ...lines] = part.trimEnd().split("\n");
        return { command, lines };
      })
    );
  return new Map(
    sessions.map((steps) => [
      /([\w/]+)\.(?:ts|py)/.exec(steps[0]?.command ?? "")?.[1] ?? "",
      steps,
    ]),
  );
}

if (import.meta.main) {
  if (!Deno.args.includes("--write")) {
    console.error("With --write it writes the programs into the pages");
    Deno.exit(1);
  }
  for (const page of PAGES) {
    const text = readPage(page).replace(
      SHOWN,
      (_, head, path, _code, end) => `${head}${textOf(path)}${end}`,
    );
    Deno.writeTextFileSync(new URL(page, ROOT), text);
  }
}
