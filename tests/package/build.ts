import ts from "typescript";
import manifest from "../../deno.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);
/** What a package carries beside its modules. */
const TEXTS: readonly string[] = ["README.md", "CHANGELOG.md", "LICENSE"];
/** Folders of files that modules read as they are. */
const FOLDERS: readonly string[] = ["cli/ui/page"];

/** The program that npm installs, and what it cannot be without. */
const PROGRAM = "./cli/bin.ts";
const DEPENDENCIES: readonly string[] = ["commander"];

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
};

/** A package as npm has it, of those parts that are written. */
export interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly [name: string]: unknown;
}

/**
 * Builds the package for npm by the rules of JSR: JavaScript with declarations beside it,
 * of every module that an export or the program leads to, and of no other. The packages
 * that those import are optional peers: nobody installs the client of a broker that he
 * has not. What the program reads its arguments by comes with it: `npx` installs no more.
 *
 * @param folder The folder to write to. It must be there.
 * @returns What `package.json` says.
 */
export async function buildPackage(folder: string): Promise<PackageJson> {
  const modules = await readModules([
    ...Object.values(manifest.exports),
    PROGRAM,
  ]);
  const packages = new Set<string>();
  for (const [path, { source, imports }] of modules) {
    for (const name of imports) {
      if (!name.startsWith(".") && !name.startsWith("node:")) {
        packages.add(packageOf(name));
      }
    }
    await write(folder, asScript(path), toScript(path, source));
  }
  for (const [path, text] of toDeclarations(modules)) {
    await write(folder, path, text);
  }
  for (const name of TEXTS) {
    await Deno.copyFile(new URL(name, ROOT), `${folder}/${name}`);
  }
  for (const path of FOLDERS) {
    for (const { name } of Deno.readDirSync(new URL(path, ROOT))) {
      const file = `${path}/${name}`;
      await write(folder, file, await Deno.readTextFile(new URL(file, ROOT)));
    }
  }
  const written = packageJson([...packages].sort());
  await write(folder, "package.json", JSON.stringify(written, undefined, 2));
  return written;
}

interface Module {
  /** Its text, in which relative imports name scripts. */
  readonly source: string;
  /** All that it imports, types too. */
  readonly imports: readonly string[];
}

async function readModules(
  entries: readonly string[],
): Promise<ReadonlyMap<string, Module>> {
  const modules = new Map<string, Module>();
  const paths = [...entries];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const url = new URL(path, ROOT);
    const name = url.href.slice(ROOT.href.length);
    if (modules.has(name)) continue;
    const text = await Deno.readTextFile(url);
    const imported = ts.preProcessFile(text, true, true).importedFiles;
    let source = text;
    // From the last on: the places of the others stay what they are.
    for (const { fileName, end } of imported.toSorted(byEnd)) {
      if (!fileName.startsWith(".")) continue;
      paths.push(new URL(fileName, url).href);
      const start = text.lastIndexOf(fileName, end);
      source = source.slice(0, start) + asScript(fileName) +
        source.slice(start + fileName.length);
    }
    const imports = imported.map(({ fileName }) => fileName);
    modules.set(name, { source, imports });
  }
  return modules;
}

function byEnd(a: ts.FileReference, b: ts.FileReference): number {
  return b.end - a.end;
}

function asScript(path: string): string {
  return path.replace(/\.ts$/, ".js");
}

function asDeclaration(path: string): string {
  return path.replace(/\.ts$/, ".d.ts");
}

/**
 * Takes the types out of a module.
 *
 * @param path Its name, for errors.
 * @param source Its text.
 * @returns The script.
 */
export function toScript(path: string, source: string): string {
  const { outputText, diagnostics } = ts.transpileModule(source, {
    fileName: path,
    compilerOptions: OPTIONS,
    reportDiagnostics: true,
  });
  judge(path, diagnostics ?? []);
  return outputText;
}

/**
 * Makes the declarations of all modules, by their paths. Nothing is checked or resolved
 * for it: `isolatedDeclarations` lets each be told by its own text. The language's own
 * library is there, without which a `[Symbol.asyncDispose]` is declared twice.
 */
function toDeclarations(
  modules: ReadonlyMap<string, Module>,
): ReadonlyMap<string, string> {
  const options: ts.CompilerOptions = {
    ...OPTIONS,
    declaration: true,
    emitDeclarationOnly: true,
    isolatedDeclarations: true,
    lib: ["lib.esnext.d.ts"],
    noCheck: true,
    noResolve: true,
    types: [],
  };
  const written = new Map<string, string>();
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (path, version, ...more) => {
    const source = modules.get(path)?.source;
    return source === undefined
      ? getSourceFile(path, version, ...more)
      : ts.createSourceFile(path, source, version);
  };
  host.writeFile = (path, text) => void written.set(path, text);
  const program = ts.createProgram([...modules.keys()], options, host);
  judge("the declarations", program.emit().diagnostics);
  return written;
}

function judge(name: string, [problem]: readonly ts.Diagnostic[]): void {
  if (problem === undefined) return;
  throw new Error(
    `Cannot build ${name}: ${
      ts.flattenDiagnosticMessageText(problem.messageText, "\n")
    }`,
  );
}

/** Its name without the path inside it. */
function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

function packageJson(packages: readonly string[]): PackageJson {
  const pinned: Readonly<Record<string, string>> = manifest.imports;
  const versions = (names: readonly string[]) =>
    Object.fromEntries(names.map((name) => {
      const version = pinned[name]?.split("@").at(-1);
      if (version === undefined) throw new Error(`deno.json has no "${name}"`);
      return [name, `^${version}`] as const;
    }));
  const peers = packages.filter((name) => !DEPENDENCIES.includes(name));
  const exports = Object.entries(manifest.exports).map(([name, path]) =>
    [name, { types: asDeclaration(path), default: asScript(path) }] as const
  );
  return {
    name: manifest.name,
    version: manifest.version,
    license: manifest.license,
    description: "Messaging for TypeScript, alike on every broker",
    type: "module",
    engines: { node: ">=22.12", bun: ">=1.2" },
    exports: Object.fromEntries(exports),
    bin: { dashi: asScript(PROGRAM).slice("./".length) },
    dependencies: versions(DEPENDENCIES),
    peerDependencies: versions(peers),
    peerDependenciesMeta: Object.fromEntries(
      peers.map((name) => [name, { optional: true }]),
    ),
  };
}

async function write(
  folder: string,
  path: string,
  text: string,
): Promise<void> {
  const target = `${folder}/${path}`;
  await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), {
    recursive: true,
  });
  await Deno.writeTextFile(target, text);
}
