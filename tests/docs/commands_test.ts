/** The commands of the pages are those of the command line: no argument of theirs is wrong. */

import { assert, assertEquals } from "@std/assert";
import { run } from "@dashi/mq/cli";
import { readPages } from "./pages.ts";

/** They go on until somebody ends them. */
const ENDLESS: ReadonlySet<string> = new Set(["ui", "tail"]);

/** They are spoken of, and not typed so. */
const SPOKEN_OF: ReadonlySet<string> = new Set([
  "dlq",
  "move",
  "COMMAND --help",
]);

/** Of a command in a page: its words, up to a pipe, a file or a comment. */
function wordsOf(command: string): readonly string[] {
  const [own = ""] = command.split(/ [|>#]/, 1);
  return own.trim().split(/\s+/).slice(1)
    .map((word) => word.replace(/^'(.*)'$/, "$1"));
}

/** All that the pages show, each once. */
function commands(): readonly string[] {
  const found = readPages()
    .filter(({ path }) => path === "README.md" || path.startsWith("docs/"))
    .flatMap(({ text }) =>
      [...text.matchAll(/(?:`|^\$ |^)(dashi [^`\n]+)/gm)].map(([, each = ""]) =>
        each
      )
    );
  return [...new Set(found)].sort();
}

Deno.test("the pages show commands", () => {
  assert(commands().length > 10);
});

for (const command of commands()) {
  const words = wordsOf(command);
  if (SPOKEN_OF.has(words.join(" ")) || ENDLESS.has(words[0] ?? "")) continue;
  Deno.test(`\`${command}\` has no wrong argument`, async () => {
    const told: string[] = [];
    const code = await run({
      // A word in capitals stands for anything.
      args: words.map((word) => /^[A-Z]+$/.test(word) ? "7" : word),
      columns: undefined,
      isPiped: true,
      variable: (name) =>
        name === "DASHI_URL"
          ? "memory://commands"
          : name === "DASHI_TO_URL"
          ? "memory://commands-to"
          : undefined,
      write: () => Promise.resolve(),
      tell: (line) => told.push(line),
      read: () => Promise.reject(new Error("there is no file")),
      async *input() {},
    });
    // 1 is a queue that is not there.
    assertEquals(code === 2, false, told.join("\n"));
  });
}
