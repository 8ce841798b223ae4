// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Says which pages of the transports are not what the code says; `--write` writes them:
 * the parts between `<!-- NAME: … -->` and `<!-- end of NAME -->`, and nothing else.
 */

import { bare, fileOf, PAGES, written } from "./transport_pages.ts";

const isWriting = Deno.args.includes("--write");
let stale = 0;
for (const page of PAGES) {
  const file = fileOf(page);
  const text = await Deno.readTextFile(file);
  const right = await written(page, text);
  if (bare(right) === bare(text)) continue;
  if (isWriting) await Deno.writeTextFile(file, right);
  else stale++;
  console.log(`${isWriting ? "wrote" : "not as the code"}: ${file.pathname}`);
}
if (isWriting) {
  await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", ...PAGES.map((page) => fileOf(page).pathname)],
  }).spawn().status;
}
Deno.exit(stale === 0 ? 0 : 1);
