/** The table of a transport's options, from its types, their comments, and their readers. */

import type { OptionReader } from "../../url/options.ts";

const ROOT = new URL("../../", import.meta.url);

/** An option, as a page shows it. */
interface Row {
  readonly name: string;
  readonly inUrl: string;
  readonly type: string;
  readonly default: string;
  readonly meaning: string;
}

/** A type, as `deno doc --json` has it: the parts that are read here. */
interface Type {
  readonly repr?: string;
  readonly kind: string;
  readonly value?: unknown;
}

interface Property {
  readonly name: string;
  readonly jsDoc?: { readonly doc?: string };
  readonly tsType: Type;
}

interface Declaration {
  readonly kind: string;
  readonly def?: {
    readonly properties?: readonly Property[];
    readonly extends?: readonly unknown[];
  };
}

interface Documentation {
  readonly nodes: Readonly<
    Record<string, {
      readonly symbols: readonly {
        readonly name: string;
        readonly declarations: readonly Declaration[];
      }[];
    }>
  >;
}

/**
 * Writes the table.
 *
 * @param sources The file and the interface that the options are in; of several, one after the other.
 * @param readers How they are read.
 * @returns Markdown.
 */
export async function optionsTable(
  sources: readonly (readonly [file: string, name: string])[],
  readers: Readonly<Record<string, OptionReader<unknown>>>,
): Promise<string> {
  const rows: Row[] = [];
  for (const [file, name] of sources) {
    for (const property of await propertiesOf(file, name)) {
      const reader = readers[property.name];
      if (reader === undefined) {
        throw new Error(`${file}: nothing reads ${property.name}`);
      }
      rows.push(rowOf(property, reader.urlName));
    }
  }
  const left = Object.keys(readers)
    .filter((name) => rows.every((row) => row.name !== name));
  // Of a Unix socket's URL alone: it stands in the text.
  if (left.some((name) => name !== "virtualHost")) {
    throw new Error(`options without documentation: ${left}`);
  }
  const lines = rows.map((row) =>
    `| \`${row.name}\` | ${row.inUrl} | ${row.type} | ${row.default} | ${row.meaning} |`
  );
  return [
    "| `transportOptions` | In a URL | Type | Default | Meaning |",
    "| --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

async function propertiesOf(
  file: string,
  name: string,
): Promise<readonly Property[]> {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", new URL(file, ROOT).pathname],
    cwd: ROOT.pathname,
    stderr: "null",
  }).output();
  if (!success) throw new Error(`deno doc ${file}`);
  const { nodes }: Documentation = JSON.parse(new TextDecoder().decode(stdout));
  const symbols = Object.values(nodes).flatMap((each) => each.symbols);
  const declaration = symbols.find((each) => each.name === name)
    ?.declarations.find(({ kind }) => kind === "interface");
  if (declaration?.def?.properties === undefined) {
    throw new Error(`${file} has no interface ${name}`);
  }
  return declaration.def.properties;
}

/** `; in a URL ``name``, seconds` of a comment, up to the end of its sentence. */
const IN_URL = /[;,.]? ?\b[Ii]n a URL (`\w+`[^.;]*)/;
const DEFAULT = /\s*@default\s*\{([^}]*)\}/;

function rowOf(
  { name, jsDoc, tsType }: Property,
  urlName: string | undefined,
): Row {
  const doc = (jsDoc?.doc ?? "").replace(/\s+/g, " ");
  const said = IN_URL.exec(doc)?.[1]?.trim();
  const expected = urlName === undefined ? undefined : `\`${urlName}\``;
  if (said !== undefined && !said.startsWith(expected ?? "?")) {
    throw new Error(`${name} is said to be ${said} in a URL: it is ${urlName}`);
  }
  const meaning = doc.replace(DEFAULT, "").replace(IN_URL, "").trim();
  return {
    name,
    inUrl: said ?? expected ?? "",
    type: typeOf(tsType),
    default: defaultOf(DEFAULT.exec(doc)?.[1]?.trim()),
    meaning: cell(meaning.endsWith(".") ? meaning : `${meaning}.`),
  };
}

/** A value as code, and words as they are. */
function defaultOf(text: string | undefined): string {
  if (text === undefined) return "";
  const isCode = /^("[^"]*"|[\d_]+|true|false|\[.*\])$/.test(text);
  return cell(isCode ? `\`${text}\`` : text);
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function typeOf(type: Type): string {
  const words = alternatives(type)
    .filter((each) => each !== "`undefined`")
    .filter((each, i, all) => all.indexOf(each) === i);
  return words.length < 3
    ? words.join(" or ")
    : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function alternatives({ kind, repr, value }: Type): readonly string[] {
  if (kind === "union" && Array.isArray(value)) {
    return value.flatMap((each: Type) => alternatives(each));
  }
  if (kind === "keyword") return [`\`${repr}\``];
  if (kind === "literal") return [`\`"${repr}"\``];
  if (kind === "typeRef" && repr === "Readonly") return ["an object"];
  if (kind === "typeRef") return [`\`${repr}\``];
  if (kind === "typeOperator") return ["an array"];
  throw new Error(`a type that the table has no word for: ${kind}`);
}
