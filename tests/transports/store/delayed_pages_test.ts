import { assertEquals } from "@std/assert";
import { pagesByTime } from "../../../transports/store/delayed_pages.ts";

interface Timed {
  readonly at: number;
  readonly id: string;
}

/** Goes through all of them; what `onPage` removes is not read again. */
async function pagesOf(
  all: Timed[],
  onPage: (page: readonly Timed[]) => void = () => {},
): Promise<readonly (readonly string[])[]> {
  const pages: string[][] = [];
  const read = (from: number, limit: number) =>
    Promise.resolve(all.filter(({ at }) => at >= from).slice(0, limit));
  for await (const page of pagesByTime(0, read, (each) => each)) {
    pages.push(page.map(({ id }) => id));
    onPage(page);
  }
  return pages;
}

/** So many, of which each group of `together` has one time. */
function timed(count: number, together: number): Timed[] {
  return Array.from(
    { length: count },
    (_, i) => ({ at: Math.floor(i / together), id: `id-${i}` }),
  );
}

Deno.test("pagesByTime() goes through nothing without a page", async () => {
  assertEquals(await pagesOf([]), []);
});

for (const together of [1, 7, 50, 120]) {
  Deno.test(`pagesByTime() reads each once where ${together} have one time`, async () => {
    for (const count of [1, 49, 50, 51, 100, 120]) {
      const all = timed(count, together);
      const pages = await pagesOf([...all]);
      assertEquals(pages.flat(), all.map(({ id }) => id), `${count}`);
      assertEquals(pages.filter((each) => each.length === 0), []);
    }
  });
}

Deno.test("pagesByTime() reads the rest where what was read is removed", async () => {
  const all = timed(120, 30);
  const ids = all.map(({ id }) => id);
  const pages = await pagesOf(all, (page) => {
    for (const each of page) all.splice(all.indexOf(each), 1);
  });
  assertEquals(pages.flat(), ids);
});
