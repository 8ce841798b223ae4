import { assert, assertEquals } from "@std/assert";
import { ALONE, LONGEST, rest } from "./plan.ts";

const ROOT = new URL("../", import.meta.url);

/** Modules that ask for brokers where there are some, and do without. */
const OPTIONAL = /\/support\/(register|targets|killed)\.ts$/;

function* testsIn(url: URL): Iterable<URL> {
  if (Deno.statSync(url).isFile) return yield url;
  const folder = new URL(`${url.href}/`);
  for (const entry of Deno.readDirSync(folder)) {
    const child = new URL(entry.name, folder);
    if (entry.isDirectory) yield* testsIn(child);
    else if (entry.name.endsWith("_test.ts")) yield child;
  }
}

/** Of a module of the tests, and of those that it imports: who asks for a broker. */
function asking(url: URL, seen: Set<string>): string[] {
  if (seen.has(url.href) || OPTIONAL.test(url.href)) return [];
  seen.add(url.href);
  const text = Deno.readTextFileSync(url);
  const own = /Deno\.env\.get\(.DASHI_TEST|\/brokers\//.test(text)
    ? [url.pathname]
    : [];
  const imports = text.matchAll(
    /^(?:import|export|\}).* from "(\.[^"]+)"/gm,
  );
  return [...imports].flatMap(([, path = ""]) => {
    const other = new URL(path, url);
    return other.pathname.includes("/tests/") ? asking(other, seen) : [];
  }).concat(own);
}

Deno.test("tests that run before there are brokers ask for none", () => {
  for (const path of ALONE) {
    for (const test of testsIn(new URL(path, ROOT))) {
      assertEquals(asking(test, new Set()), [], test.pathname);
    }
  }
});

Deno.test("every file of tests is run, once", () => {
  const alone = ALONE.flatMap((path) => [...testsIn(new URL(path, ROOT))]);
  const files = rest(ROOT).map((path) => new URL(path, ROOT));
  const first = LONGEST.map((path) => new URL(path, ROOT));
  const all = [...alone, ...first, ...files].map(({ href }) => href)
    .filter((href) => href.endsWith("_test.ts"));
  assertEquals(
    all.sort(),
    [...testsIn(new URL("tests", ROOT))].map(({ href }) => href).sort(),
  );
});

Deno.test("the files that begin first are there, once, and need brokers", () => {
  assertEquals(new Set(LONGEST).size, LONGEST.length);
  for (const path of LONGEST) {
    assert(Deno.statSync(new URL(path, ROOT)).isFile);
    assert(!ALONE.includes(path), path);
  }
});
