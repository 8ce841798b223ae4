import { run } from "@dashi/mq/cli";

const PROGRAM = new URL("../../cli/main.ts", import.meta.url).pathname;

/** What a run of the program came to. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Its output, a value for each line. */
  // deno-lint-ignore no-explicit-any -- of whatever the program writes
  readonly rows: any[];
}

/** Runs the program as a process of its own, its output in a pipe. */
export async function dashi(
  args: readonly string[],
  variables?: Readonly<Record<string, string>>,
  input?: string | undefined,
): Promise<Ended> {
  const child = started(
    args,
    variables,
    input === undefined ? "null" : "piped",
  );
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((each) =>
    new TextDecoder().decode(each)
  );
  const lines = (out ?? "").trim().split("\n");
  const isJson = lines.every((each) => each.startsWith("{"));
  const rows = isJson ? lines.map((each) => JSON.parse(each)) : [];
  return { code, out: out ?? "", err: err ?? "", rows };
}

/** Starts the program as a process of its own. */
export function started(
  args: readonly string[],
  variables?: Readonly<Record<string, string>>,
  stdin: "null" | "piped" = "null",
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", PROGRAM, ...args],
    env: { DASHI_URL: "", DASHI_MANAGEMENT_URL: "", ...variables },
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs it here, on a terminal of so many columns. */
export async function onTerminal(
  args: readonly string[],
  url: string,
  columns: number,
): Promise<
  { readonly code: number; readonly out: string; readonly err: string }
> {
  let [out, err] = ["", ""];
  const code = await run({
    args,
    columns,
    isPiped: false,
    variable: (name) => name === "DASHI_URL" ? url : undefined,
    write: (text) => Promise.resolve(void (out += text)),
    tell: (line) => void (err += `${line}\n`),
    read: () => Promise.reject(new Error("there is no such file")),
    load: (path) => import(new URL(path, import.meta.url).href),
    async *input() {},
  });
  return { code, out, err };
}
