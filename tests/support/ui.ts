/** Runs `dashi ui` as a process, and asks it as a browser would, or as one would not. */

import { request } from "node:http";

const PROGRAM = new URL("../../cli/main.ts", import.meta.url).pathname;

/** A page that is served. */
export interface ServedUi extends AsyncDisposable {
  readonly link: string;
  readonly port: number;
  readonly token: string;
  /** Ends it by a signal, and says how it ended and what it wrote. */
  end(): Promise<{ readonly code: number; readonly written: string }>;
}

/** An answer of its server. */
export interface Answered {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Starts it over brokers, whose URLs are in its environment. */
export async function startUi(
  urls: readonly string[],
  { managementUrl = "", interval = 0.3, timeout, module }: {
    readonly managementUrl?: string | undefined;
    readonly interval?: number | undefined;
    /** Seconds. @default {that of the program} */
    readonly timeout?: number | undefined;
    /** The file of `--module`. */
    readonly module?: string | undefined;
  } = {},
): Promise<ServedUi> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", "--quiet", PROGRAM],
      ...["ui", "--interval", String(interval)],
      ...(timeout === undefined ? [] : ["--timeout", String(timeout)]),
      ...(module === undefined ? [] : ["--module", module]),
    ],
    env: { DASHI_URL: urls.join(" "), DASHI_MANAGEMENT_URL: managementUrl },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let written = "";
  while (!written.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`dashi ui has ended: ${await errors}`);
    written += value;
  }
  const { link } = JSON.parse(written);
  const url = new URL(link);
  let ending: Promise<{ code: number; written: string }> | undefined;
  const end = async () => {
    child.kill("SIGTERM");
    const { code } = await child.status;
    await reader.cancel();
    return { code, written: written + await errors };
  };
  return {
    link,
    port: Number(url.port),
    token: url.searchParams.get("token") ?? "",
    end: () => ending ??= end(),
    async [Symbol.asyncDispose]() {
      await (ending ??= end());
    },
  };
}

/** Asks its server, with headers that no browser would let a page set. Of an endless answer the first part is read. */
export function askUi(
  port: number,
  path: string,
  { method = "GET", headers = {}, body = "" }: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
  } = {},
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const asking = request(
      { host: "127.0.0.1", port, path, method, headers, agent: false },
      (answer) => {
        let text = "";
        const end = () =>
          resolve({
            status: answer.statusCode ?? 0,
            text,
            headers: answer.headers,
          });
        answer.setEncoding("utf8");
        answer.on("data", (chunk) => {
          text += chunk;
          if (!/event-stream/.test(answer.headers["content-type"] ?? "")) {
            return;
          }
          if (!text.includes("\n\n")) return;
          end();
          asking.destroy();
        });
        answer.on("end", end);
      },
    );
    asking.on("error", reject);
    asking.end(body);
  });
}

/** The headers of its own page. */
export function ownHeaders(
  { port, token }: { readonly port: number; readonly token: string },
): Readonly<Record<string, string>> {
  return {
    cookie: `dashi-ui-${port}=${token}`,
    origin: `http://127.0.0.1:${port}`,
    "content-type": "application/json",
  };
}
