/** The page of `dashi ui`, served by the package on another runtime. */

import { attempt, provide, RUNTIMES } from "../runtimes/npm.ts";
import { install, type Outcome, pinned } from "./user.ts";

/** Opens the link, asks for what the page asks for, and ends the server as Ctrl-C does. */
const PROGRAM = `
import process from "node:process";
import { run } from "@dashi/mq/cli";
const code = await run({
  args: ["ui", "memory://page"],
  columns: undefined,
  isPiped: false,
  variable: () => undefined,
  write: async (text) => void look(JSON.parse(text).link),
  tell: (line) => console.log(line),
  read: () => Promise.reject(new Error("there is no file")),
  async *input() {},
});
console.log(code);
async function look(link) {
  const login = await fetch(link);
  const headers = { cookie: login.headers.get("set-cookie").split(";")[0] };
  const ask = (path) => fetch(new URL(path, link), { headers });
  for (const path of ["/", "/main.js", "/style.css", "/uPlot.esm.js"]) {
    const answer = await ask(path);
    console.log(answer.status, (await answer.text()).length > 1000);
  }
  const events = await ask("/events");
  const reader = events.body.getReader();
  const { value } = await reader.read();
  console.log(new TextDecoder().decode(value).slice(0, 10));
  process.kill(process.pid, "SIGTERM");
}
`;

/** All that it prints: four files of the page, an event, and that it ended well. */
const EXPECTED = `${"200 true\n".repeat(4)}event: all\n0`;

/**
 * Serves the page on each runtime.
 *
 * @param folder A folder for its user, which is not there yet.
 * @param tarball The package.
 * @returns A way to use it for each.
 */
export async function* pages(
  folder: string,
  tarball: string,
): AsyncGenerator<Outcome> {
  await install(folder, tarball, ...pinned("commander", "uplot"));
  await Deno.writeTextFile(`${folder}/page.mjs`, PROGRAM);
  for (const runtime of RUNTIMES) {
    const name = `${runtime.name} ${runtime.version}`;
    if (runtime.name === "deno") continue;
    const said = await attempt(
      await provide(runtime),
      `${folder}/page.mjs`,
    );
    yield [
      `dashi ui by ${name}`,
      said.trim() === EXPECTED ? undefined : said,
    ];
  }
}
