/** Servers that say again what they were told, and what shows a secret. */

import { reach } from "../conformance/reach.ts";

/** A server that says it all again, in the form of each protocol, as some say what they do not understand. */
export const ECHOES: readonly ((said: string) => string)[] = [
  (said) => said,
  (said) => `-ERR unknown command, with args beginning with: ${line(said)}\r\n`,
  (said) =>
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n${
      JSON.stringify({ error: "bad", reason: said, message: said })
    }`,
  (said) => `BAD_FORMAT ${line(said)}\r\n`,
];

function line(said: string): string {
  return said.replace(/[\r\n]+/g, " ");
}

/** Returns the parts of a text that hold a secret. */
export function leaks(
  seen: readonly unknown[],
  secrets: readonly string[],
): readonly string[] {
  return seen.flatMap((each) => {
    const found = each instanceof Error || isEvent(each)
      ? reach(each, secrets)
      : [];
    const shown = [
      Deno.inspect(each, { depth: 8, showHidden: true, getters: true }),
      String(each),
      json(each),
    ];
    for (const text of shown) {
      for (const secret of secrets) {
        if (text.includes(secret)) found.push(around(text, secret));
      }
    }
    return found;
  });
}

function isEvent(value: unknown): boolean {
  return typeof value === "object" && value !== null && "type" in value;
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}

function around(text: string, secret: string): string {
  const start = text.indexOf(secret);
  return text.slice(Math.max(0, start - 60), start + secret.length + 10);
}
