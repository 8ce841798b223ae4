import { assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { bare, fileOf, PAGES, written } from "./transport_pages.ts";

for (const page of PAGES) {
  Deno.test(`docs/transports/${page.name}.md has schemes, options and capabilities as the code has them`, async () => {
    const text = await Deno.readTextFile(fileOf(page));
    // To mend it: deno run -A tests/docs/main.ts --write
    assertEquals(bare(text), bare(await written(page, text)));
  });
}

for (const { name, readers } of PAGES) {
  Deno.test(`transports/${name}/mod.ts tells of each option by its name`, async () => {
    const file = new URL(`../../transports/${name}/mod.ts`, import.meta.url);
    const text = await Deno.readTextFile(file);
    const missing = Object.entries(readers)
      .map(([option, { urlName }]) => urlName ?? option)
      .filter((each) => !new RegExp(`\\b${each}\\b`).test(text));
    assertEquals(missing, []);
  });
}

Deno.test("every transport has a page", () => {
  const exports: Readonly<Record<string, string>> = config.exports;
  const names = Object.keys(exports).map((entry) => entry.slice(2))
    .filter((name) => exports[`./${name}`] === `./transports/${name}/mod.ts`)
    .filter((name) => name !== "records" && name !== "store");
  assertEquals(PAGES.map(({ name }) => name).sort(), names.sort());
});
