import { assert, assertEquals } from "@std/assert";
import ts from "typescript";

const FOLDER = new URL("../../../cli/ui/page/", import.meta.url).pathname;

/** deno check knows no DOM beside its own globals. */
Deno.test("the types of dashi ui's page hold", () => {
  const scripts = [...Deno.readDirSync(FOLDER)]
    .filter(({ name }) => name.endsWith(".js"))
    .map(({ name }) => FOLDER + name);
  assert(scripts.length > 5);
  const program = ts.createProgram(scripts, {
    allowJs: true,
    checkJs: true,
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    types: [],
  });
  const problems = ts.getPreEmitDiagnostics(program).map((each) => {
    const { file, start = 0 } = each;
    const line = file?.getLineAndCharacterOfPosition(start).line ?? 0;
    const text = ts.flattenDiagnosticMessageText(each.messageText, " ");
    return `${file?.fileName.slice(FOLDER.length)}:${line + 1}: ${text}`;
  });
  assertEquals(problems, []);
});
