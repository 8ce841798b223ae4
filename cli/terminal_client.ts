import { readFile } from "node:fs/promises";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { cannotImport } from "../model/dependency.ts";
import { printable } from "../model/foreign_text.ts";
import { type Bar, OutputClosed, type Terminal } from "./terminal.ts";

/** So much of a line is told, characters. */
const MAX_LINE = 5000;

/**
 * Makes the terminal of this process.
 *
 * @returns The terminal.
 */
export function ownTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  let isClosed = false;
  stdout.on("error", () => isClosed = true);
  return {
    args: process.argv.slice(2),
    columns: stdout.isTTY ? stdout.columns : undefined,
    isPiped: stdin.isTTY !== true,
    variable: (name) => process.env[name],
    write: (text) =>
      new Promise((resolve, reject) => {
        if (isClosed) return reject(new OutputClosed());
        stdout.write(text, (error) => {
          if (error) reject(new OutputClosed());
          else resolve();
        });
      }),
    // In it are names of queues, which others have given.
    tell: (line) => void stderr.write(`${printable(line, MAX_LINE)}\n`),
    read: (path) => readFile(path),
    load: (path) => import(pathToFileURL(path).href),
    onInterrupt(callback) {
      process.once("SIGINT", callback);
      process.once("SIGTERM", callback);
      return () => {
        process.off("SIGINT", callback);
        process.off("SIGTERM", callback);
      };
    },
    bar: (label, total) =>
      stdout.isTTY && stderr.isTTY ? loadBar(label, total) : undefined,
    async *input() {
      for await (const chunk of stdin) {
        yield typeof chunk === "string"
          ? new TextEncoder().encode(chunk)
          : chunk;
      }
    },
  };
}

async function loadBar(
  label: string,
  total: number | undefined,
): Promise<Bar | undefined> {
  try {
    const { barOf } = await import("./bar_client.ts");
    return barOf(label, total);
  } catch (cause) {
    const error = cannotImport("show a bar", ["cli-progress"], cause);
    process.stderr.write(`dashi: ${error.message}\n`); // it goes on without
  }
}

/**
 * Says how the process ends.
 *
 * @param code 0 if all went well.
 */
export function endWith(code: number): void {
  process.exitCode = code;
}
