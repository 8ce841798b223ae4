import { assert, assertEquals } from "@std/assert";
import { linesOf, page, PAIRS, textOf } from "./pairs.ts";

/** A text whatever its formatting is. */
const bare = (text: string) =>
  text.replace(/-{2,}:?/g, "-").replace(/\s+/g, "").replaceAll("`", "");

Deno.test("the page has the programs as they are, and the true numbers of their lines", () => {
  const file = new URL("../../docs/compare.md", import.meta.url);
  assertEquals(bare(Deno.readTextFileSync(file)), bare(page()));
});

for (const pair of PAIRS) {
  Deno.test(`${pair.title}: fewer lines than ${pair.rival}`, () => {
    const [ours, theirs] = [textOf(pair, "dashi"), textOf(pair, "rivals")];
    assert(linesOf(ours) < linesOf(theirs));
  });
}
