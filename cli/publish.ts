import type { FieldTable, PublishOptions } from "../mod.ts";
import { lineOf } from "./advice.ts";
import type { Context } from "./context.ts";
import type { Column } from "./output.ts";
import { type Terminal, UsageError } from "./terminal.ts";

/** What is published, and how. */
export interface PublishArguments {
  readonly exchange?: string | undefined;
  readonly file?: string | undefined;
  readonly ndjson?: boolean | undefined;
  readonly contentType?: string | undefined;
  readonly header?: readonly string[] | undefined;
  readonly messageId?: string | undefined;
  readonly type?: string | undefined;
  readonly key?: string | undefined;
  readonly priority?: number | undefined;
  /** Seconds. */
  readonly delay?: number | undefined;
  /** Seconds. */
  readonly expiration?: number | undefined;
}

interface Counts {
  readonly published: number;
  readonly failed: number;
}

const COLUMNS: readonly Column<Counts>[] = [
  { head: "PUBLISHED", text: ({ published }) => published, isNumber: true },
  { head: "FAILED", text: ({ failed }) => failed, isNumber: true },
];

/**
 * Publishes a message, or each line of JSON as one.
 *
 * @param context The context.
 * @param target The queue; with an exchange the routing key.
 * @param payload The payload; `undefined` is what the file has, or what is piped in.
 * @param given How.
 * @returns 0 if the broker has all of them.
 */
export async function publish(
  { terminal, output, connection }: Context,
  target: string,
  payload: string | undefined,
  given: PublishArguments,
): Promise<number> {
  if (payload !== undefined && given.file !== undefined) {
    throw new UsageError("a payload and --file are two: give one of them");
  }
  const options = optionsOf(given);
  await using producer = connection.producer({
    exchange: given.exchange ?? "",
    routingKey: target,
  });
  const chunks = payload !== undefined
    ? [new TextEncoder().encode(payload)]
    : inputOf(terminal, given.file);
  if (given.ndjson) {
    const { published, failed } = await producer.publishAll(
      payloadsIn(chunks),
      { each: options },
    );
    await output.print([{ published, failed: failed.length }], COLUMNS);
    for (const { index, error } of failed.slice(0, 10)) {
      terminal.tell(`dashi: line ${index + 1}: ${lineOf(error)}`);
    }
    return failed.length === 0 ? 0 : 1;
  }
  const bytes = await joined(chunks);
  if (bytes.byteLength === 0 && payload === undefined) {
    throw new UsageError("there is no payload: what was piped in is empty");
  }
  const body = bodyOf(bytes, given.contentType);
  await producer.publish(body, options);
  await output.print([{ published: 1, failed: 0 }], COLUMNS);
  if (typeof body === "string" && /^\s*[[{]/.test(body)) {
    terminal.tell(
      "dashi: the payload looks like JSON, and is none: it is published as text",
    );
  }
  return 0;
}

function optionsOf(given: PublishArguments): PublishOptions {
  const { contentType, messageId, type, key, priority, delay, expiration } =
    given;
  const headers: Record<string, string> = {};
  for (const each of given.header ?? []) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(each) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(
        `--header "${each}" is no header: it is a name and a value, as --header tenant=7`,
      );
    }
    headers[name] = value;
  }
  const table: FieldTable = headers;
  return {
    headers: table,
    contentType: given.ndjson ? undefined : contentType,
    messageId,
    type,
    key,
    priority,
    delay: delay === undefined ? undefined : delay * 1000,
    expiration: expiration === undefined ? undefined : expiration * 1000,
  };
}

/** With a content type the bytes as they are; else JSON if they are that, and else text. */
function bodyOf(bytes: Uint8Array, contentType: string | undefined): unknown {
  if (contentType !== undefined) return bytes;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return bytes;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function* inputOf(
  terminal: Terminal,
  file: string | undefined,
): AsyncIterable<Uint8Array> {
  if (file !== undefined && file !== "-") {
    try {
      yield await terminal.read(file);
      return;
    } catch {
      throw new UsageError(`the file "${file}" cannot be read`);
    }
  }
  if (file === undefined && !terminal.isPiped) {
    throw new UsageError(
      "there is no payload: give one, or --file FILE, or pipe it in",
    );
  }
  yield* terminal.input();
}

async function joined(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const each of chunks) {
    parts.push(each);
    size += each.byteLength;
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const each of parts) {
    bytes.set(each, at);
    at += each.byteLength;
  }
  return bytes;
}

async function* payloadsIn(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncIterable<unknown> {
  const decoder = new TextDecoder();
  let rest = "";
  let count = 0;
  const parse = (line: string) => {
    count++;
    try {
      return JSON.parse(line);
    } catch {
      throw new UsageError(
        `line ${count} is no JSON; the ${
          count - 1
        } lines before it are published`,
      );
    }
  };
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield parse(line);
  }
  rest += decoder.decode();
  if (rest.trim() !== "") yield parse(rest);
}
