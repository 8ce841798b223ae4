/** Which mistakes the compiler refuses: nobody makes those, and the suites need not notice them. */

import ts from "typescript";
import { applied, type Mutant } from "./operators.ts";

/** The project's own settings; what packages say is left out. */
const OPTIONS: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noFallthroughCasesInSwitch: true,
  verbatimModuleSyntax: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  resolveJsonModule: true,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  target: ts.ScriptTarget.ESNext,
  lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  types: [],
};

/** The project's types, with one source changed at a time. */
export class Types {
  readonly #root: string;
  readonly #texts: ReadonlyMap<string, string>;
  readonly #service: ts.LanguageService;
  readonly #known = new Map<string, number>();
  #changed: { readonly file: string; readonly text: string } | undefined;
  #version = 0;

  /**
   * Reads nothing before it is asked.
   *
   * @param root The project's folder, with a closing slash.
   * @param texts The sources that are changed, by their paths in it.
   */
  constructor(root: string, texts: ReadonlyMap<string, string>) {
    this.#root = root;
    this.#texts = texts;
    const textOf = (path: string) => this.#textOf(path);
    this.#service = ts.createLanguageService({
      getCompilationSettings: () => OPTIONS,
      getScriptFileNames: () => [...texts.keys()].map((file) => root + file),
      getScriptVersion: (path) =>
        this.#changed !== undefined && path === root + this.#changed.file
          ? String(this.#version)
          : "0",
      getScriptSnapshot: (path) => {
        const text = textOf(path);
        return text === undefined
          ? undefined
          : ts.ScriptSnapshot.fromString(text);
      },
      getCurrentDirectory: () => root,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      fileExists: ts.sys.fileExists,
      readFile: textOf,
    });
  }

  /** Tells whether a mistake brings an error that its source did not have. */
  refuse(mutant: Mutant): boolean {
    const { file } = mutant;
    const text = this.#texts.get(file) ?? "";
    let before = this.#known.get(file);
    if (before === undefined) {
      this.#change(file, text);
      before = this.#errorsOf(file);
      this.#known.set(file, before);
    }
    this.#change(file, applied(text, mutant));
    const after = this.#errorsOf(file);
    this.#change(file, text);
    return after > before;
  }

  #change(file: string, text: string): void {
    this.#version++;
    this.#changed = { file, text };
  }

  #errorsOf(file: string): number {
    const path = this.#root + file;
    return this.#service.getSyntacticDiagnostics(path).length +
      this.#service.getSemanticDiagnostics(path).length;
  }

  #textOf(path: string): string | undefined {
    const { file, text } = this.#changed ?? {};
    if (file !== undefined && path === this.#root + file) return text;
    return this.#texts.get(path.slice(this.#root.length)) ??
      ts.sys.readFile(path);
  }
}
