/** What of the pages of the transports is written from the code. */

import { AMQP_CLIENT_OPTIONS } from "../../transports/amqp_client/options.ts";
import { AMQP_OPTIONS } from "../../transports/amqp_protocol/options.ts";
import { BEANSTALK_OPTIONS } from "../../transports/beanstalk/options.ts";
import { COUCHDB_OPTIONS } from "../../transports/couchdb/options.ts";
import { MONGODB_OPTIONS } from "../../transports/mongodb/options.ts";
import { REDIS_OPTIONS } from "../../transports/redis/options.ts";
import { SQS_OPTIONS } from "../../transports/sqs/options.ts";
import { NATS_OPTIONS } from "../../transports/nats/options.ts";
import { POSTGRES_OPTIONS } from "../../transports/postgres/options.ts";
import { SQLITE_OPTIONS } from "../../transports/sqlite/options.ts";
import { ROWS } from "../../transports/load.ts";
import type { OptionReader } from "../../url/options.ts";
import { optionsTable } from "./options_table.ts";

const ROOT = new URL("../../", import.meta.url);

/** A page, and where its parts come from. */
export interface Page {
  /** The transport's name, which is the page's. */
  readonly name: string;
  /** The broker's column in README's table of capabilities. */
  readonly column: string;
  /** The interfaces of its options; none where it has no options. */
  readonly sources: readonly (readonly [file: string, name: string])[];
  readonly readers: Readonly<Record<string, OptionReader<unknown>>>;
}

const AMQP_SOURCE = [
  "transports/amqp_protocol/options.ts",
  "AmqpTransportOptions",
] as const;

/** All pages. */
export const PAGES: readonly Page[] = [
  {
    name: "amqp",
    column: "RabbitMQ",
    sources: [AMQP_SOURCE],
    readers: AMQP_OPTIONS,
  },
  {
    name: "amqp_client",
    column: "RabbitMQ",
    sources: [AMQP_SOURCE, [
      "transports/amqp_client/options.ts",
      "AmqpClientTransportOptions",
    ]],
    readers: AMQP_CLIENT_OPTIONS,
  },
  row("redis", "Redis", "RedisTransportOptions", REDIS_OPTIONS),
  row("mongodb", "MongoDB", "MongodbTransportOptions", MONGODB_OPTIONS),
  row("sqs", "SQS", "SqsTransportOptions", SQS_OPTIONS),
  row(
    "beanstalk",
    "beanstalkd",
    "BeanstalkTransportOptions",
    BEANSTALK_OPTIONS,
  ),
  row("couchdb", "CouchDB", "CouchdbTransportOptions", COUCHDB_OPTIONS),
  row("postgres", "PostgreSQL", "PostgresTransportOptions", POSTGRES_OPTIONS),
  row("nats", "NATS", "NatsTransportOptions", NATS_OPTIONS),
  row("sqlite", "SQLite", "SqliteTransportOptions", SQLITE_OPTIONS),
  { name: "memory", column: "memory", sources: [], readers: {} },
];

function row(
  name: string,
  column: string,
  type: string,
  readers: Page["readers"],
): Page {
  const file = `transports/${name}/options.ts`;
  return { name, column, sources: [[file, type]], readers };
}

/** Where a page is. */
export function fileOf({ name }: Page): URL {
  return new URL(`docs/transports/${name}.md`, ROOT);
}

/** Returns a page's text with the parts that are written from the code as they are to be. */
export async function written(page: Page, text: string): Promise<string> {
  const parts: Readonly<Record<string, string>> = {
    schemes: schemes(page),
    options: page.sources.length === 0
      ? "It has no options."
      : await optionsTable(page.sources, page.readers),
    capabilities: await capabilities(page),
    flags: await flags(page),
  };
  let result = text;
  for (const [name, part] of Object.entries(parts)) {
    const pattern = new RegExp(
      `(<!-- ${name}: [^>]*-->\n).*(<!-- end of ${name} -->)`,
      "s",
    );
    if (!pattern.test(result)) {
      throw new Error(`${page.name}.md has no place for its ${name}`);
    }
    result = result.replace(
      pattern,
      (_, begin: string, end: string) => `${begin}\n${part}\n\n${end}`,
    );
  }
  return result;
}

/** A text whatever its formatting is. */
export function bare(text: string): string {
  return text.replace(/:?-+:?(?= *\|)/g, "-").replace(/\s+/g, "");
}

function schemes({ name }: Page): string {
  const rows = [...ROWS].filter(([, row]) => row.name === name);
  const lines = rows.map(([alias, { defaults }]) => {
    const { hostname = "", port, tlsPort, virtualHost, tls } = defaults;
    const usual = tls === true ? tlsPort ?? port : port;
    return `| \`${alias}://\` | ${tls === true ? "✓" : ""} | ${
      code(hostname)
    } | ${code(usual?.toString() ?? "")} | ${code(virtualHost ?? "")} |`;
  });
  return [
    "| Scheme | TLS | Host | Port | Virtual host |",
    "| --- | :---: | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

function code(text: string): string {
  return text === "" ? "" : `\`${text}\``;
}

/** README's table is held to the brokers by its own test. */
async function capabilities({ column }: Page): Promise<string> {
  const readme = await Deno.readTextFile(new URL("README.md", ROOT));
  const [, table = ""] = readme.split(/<!-- (?:end of )?capabilities.*-->/);
  const lines = table.trim().split("\n").filter((_, i) => i !== 1)
    .map((line) => line.split("|").map((each) => each.trim()).slice(1, -1));
  const at = lines[0]?.indexOf(column) ?? -1;
  if (at < 1) throw new Error(`README has no column ${column}`);
  const said = (mark: (text: string) => boolean) =>
    lines.slice(1).filter((cells) => mark(cells[at] ?? ""))
      .map(([title]) => `- ${title}`).join("\n");
  const [can, maybe, lacks] = [
    said((text) => text === "✓"),
    said((text) => text !== "✓" && text !== ""),
    said((text) => text === ""),
  ];
  return [
    `Beside what all transports can (\`dead-letter\`, \`delay\`):\n\n${can}`,
    ...(maybe === "" ? [] : [`With an option:\n\n${maybe}`]),
    ...(lacks === "" ? [] : [`It lacks:\n\n${lacks}`]),
  ].join("\n\n");
}

/** The table of docs/brokers.md is held to programs with these flags by tests/permissions_test.ts. */
async function flags({ name }: Page): Promise<string> {
  const brokers = await Deno.readTextFile(new URL("docs/brokers.md", ROOT));
  const [, table = ""] = brokers.split(/<!-- (?:end of )?permissions.*-->/);
  const said = table.split("\n").map((line) => line.split("|"))
    .find(([, names = ""]) => names.includes(`\`${name}\``))?.[2];
  if (said === undefined) throw new Error(`brokers.md has no row of ${name}`);
  const all = [...said.matchAll(/`(--[^`]+)`/g)].map(([, flag]) => flag);
  return `\`\`\`sh\n${["deno run", ...all, "main.ts"].join(" ")}\n\`\`\``;
}
