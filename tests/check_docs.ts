// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Checks what no linter does: documentation of all entries, links of pages, examples, and the size of files. */

import config from "../deno.json" with { type: "json" };
import { missingExamples } from "./docs/examples.ts";
import {
  brokenLinks,
  readPages,
  testFiles,
  unexplainedBlocks,
  unknownTests,
} from "./docs/pages.ts";

const ROOT = new URL("../", import.meta.url);
/** A file over this many lines wants a reason, in {@linkcode LONG}. */
const MAX_LINES = 400;
/** Files that are long, and why they are not two. */
const LONG: Readonly<Record<string, string>> = {
  "codec/registry.ts":
    "users hold it, a method each; half of it is documentation",
  "virtual/declare.ts":
    "a plan for each of AMQP's verbs; half of it is documentation",
  "messaging/connection/connection.ts":
    "users hold it, a method each; half of it is documentation",
  "messaging/consume/consumer.ts":
    "users hold it, a method each; half of it is documentation",
  "messaging/consume/runner.ts":
    "judging, calling and draining of one run share the handlers at work",
  "messaging/consume/recovering_consumer.ts":
    "opening, losing and parting of one consumer share all its state",
  "messaging/consume/message.ts":
    "a message, with all that may become of it: its settlements share its state",
  "model/errors.ts": "one class for each error, which are read as a whole",
  "transports/transport.ts":
    "the contract of transports, which is read as a whole; half of it is documentation",
  "transports/store/store.ts":
    "the contract of a store, which is read as a whole; two thirds are documentation",
  "tests/messaging/mistakes_test.ts": "one table, a row for each mistake",
};
const SOURCE = [
  "mod.ts",
  "model",
  "async",
  "url",
  "virtual",
  "codec",
  "transports",
  "messaging",
  "cli",
  "telemetry",
  "tests",
  "bench",
  "examples",
  "testing",
];

function* files(path: URL): Generator<URL> {
  if (Deno.statSync(path).isFile) return yield path;
  for (const entry of Deno.readDirSync(path)) {
    if (entry.name.startsWith(".")) continue;
    const child = new URL(
      entry.name + (entry.isDirectory ? "/" : ""),
      path,
    );
    if (entry.isDirectory) yield* files(child);
    else if (entry.name.endsWith(".ts")) yield child;
  }
}

const problems: string[] = [];
for (const name of SOURCE) {
  const path = new URL(name.endsWith(".ts") ? name : `${name}/`, ROOT);
  for (const file of files(path)) {
    const lines = Deno.readTextFileSync(file).split("\n").length - 1;
    const path = file.pathname.slice(ROOT.pathname.length);
    if (lines > MAX_LINES && LONG[path] === undefined) {
      problems.push(
        `${path} has ${lines} lines: split it by concern, or say in tests/check_docs.ts why it has over ${MAX_LINES}`,
      );
    }
    if (lines <= MAX_LINES && LONG[path] !== undefined) {
      problems.push(`${path} is short again: tests/check_docs.ts has a reason`);
    }
  }
}
const changelog = Deno.readTextFileSync(new URL("CHANGELOG.md", ROOT));
if (!changelog.includes(`## ${config.version}`)) {
  problems.push(`CHANGELOG.md has no section "## ${config.version}"`);
}
const pages = readPages();
problems.push(...brokenLinks(pages), ...unexplainedBlocks(pages));
problems.push(...unknownTests(pages, testFiles()), ...await missingExamples());
for (const problem of problems) console.error(problem);

const { success } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--lint", ...Object.values(config.exports)],
  cwd: ROOT.pathname,
  stdout: "null",
  stderr: "inherit",
}).output();
Deno.exit(success && problems.length === 0 ? 0 : 1);
