import { assertEquals } from "@std/assert";
import {
  brokenLinks,
  type Page,
  readPages,
  testFiles,
  unexplainedBlocks,
  unknownTests,
} from "./pages.ts";

Deno.test("links of the pages lead to files and headings, and each page is reached", () => {
  assertEquals(brokenLinks(readPages()), []);
});

Deno.test("every block of TypeScript is run, or says why not", () => {
  assertEquals(unexplainedBlocks(readPages()), []);
});

Deno.test("tests that the pages name are there", () => {
  assertEquals(unknownTests(readPages(), testFiles()), []);
});

Deno.test("docs/README.md lists every page of docs/", () => {
  const pages = readPages();
  const index = pages.find(({ path }) => path === "docs/README.md")?.text;
  const missing = pages.map(({ path }) => path)
    .filter((path) => /^docs\/[^/]+\.md$/.test(path))
    .map((path) => path.slice("docs/".length))
    .filter((name) => name !== "README.md" && !index?.includes(`](${name}`));
  assertEquals(missing, []);
});

const page = (text: string, path = "README.md"): Page => ({ path, text });

Deno.test("a link to no file, to no heading, and a page that nobody links are found", () => {
  const text =
    "# A `b` (c)!\n\n## A\n\n## A\n\n[1](#a-b-c) [2](#a-1) [3](#nope)\n[4](docs/nope.md) [5](https://x.example/y)\n`[6](no.md)`\n```md\n[7](no.md)\n```\n";
  assertEquals(brokenLinks([page(text), page("", "docs/alone.md")]), [
    "README.md:7: #nope has no heading of that name",
    "README.md:8: docs/nope.md is not there",
    "docs/alone.md: no link leads here from README.md",
  ]);
});

Deno.test("a block without a reason is found", () => {
  const text = "```ts\n```\n```ts ignore\n```\n```ts ignore a fragment\n```\n";
  assertEquals(unexplainedBlocks([page(text)]), [
    "README.md:3: a block that is not run says why: ```ts ignore a fragment, or needs RabbitMQ",
  ]);
});

Deno.test("a test that is not there is found", () => {
  const tests = ["tests/transports/redis/kills_test.ts"];
  const pages = [page("`redis/kills_test.ts` and `redis/kill_test.ts`")];
  assertEquals(unknownTests(pages, tests), [
    "README.md: there is no test redis/kill_test.ts",
  ]);
});
