import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import type { QuarantinedItem } from "../store/store.ts";
import type { Core } from "./core.ts";
import { readStored } from "./stored.ts";

/** How many are read at once. */
const PAGE = 100;

interface Found {
  readonly handle: string;
  readonly bytes: Uint8Array;
}

/**
 * Lists the quarantined entries of a queue, the oldest first.
 *
 * @param core The connection.
 * @param queue The queue.
 * @param limit The maximum.
 * @param options The call's limits.
 * @returns The messages, each by a digest of its bytes.
 */
export async function listAside(
  core: Core,
  queue: string,
  limit: number,
  options?: CallOptions,
): Promise<readonly QuarantinedItem[]> {
  const listed: QuarantinedItem[] = [];
  for await (const { handle, bytes } of all(core, queue, options)) {
    listed.push({ handle, message: readStored(bytes).message });
    if (listed.length === limit) break;
  }
  return listed;
}

/**
 * Puts the quarantined entries of a queue back to its end.
 *
 * @param core The connection.
 * @param queue The queue.
 * @param handles Which; all where it is `undefined`.
 * @param options The call's limits.
 * @returns How many were put back.
 */
export async function putBack(
  core: Core,
  queue: string,
  handles: readonly string[] | undefined,
  options?: CallOptions,
): Promise<number> {
  const { layout, mirror } = core;
  const wanted = handles && new Set(handles);
  const found: Found[] = [];
  for await (const each of all(core, queue, options)) {
    if (wanted?.has(each.handle) !== false) found.push(each);
  }
  const action = `put back into queue "${queue}"`;
  let count = 0;
  for (const { bytes } of found) {
    const { message } = readStored(bytes);
    const priority = "error" in message
      ? undefined
      : message.properties.priority;
    const list = layout.options.prefix + queue +
      core.suffixOf(queue, priority);
    const expires = mirror.expiresOf(queue) ?? "";
    const put = await core.run(
      "back",
      action,
      [queue, list, bytes, "LPUSH", expires],
      options,
    );
    if (Number(put) < 0) {
      throw new NotFoundError(
        `Cannot ${action}: nobody has used it for its x-expires; declare it first`,
      );
    }
    count += Number(put);
  }
  return count;
}

/** Goes through the list from its end, where the oldest are. */
async function* all(
  { commands, layout }: Core,
  queue: string,
  options?: CallOptions,
): AsyncIterable<Found> {
  for (let last = -1;; last -= PAGE) {
    const page = await commands.send(
      `read the quarantined messages of queue "${queue}"`,
      [
        "LRANGE",
        layout.malformed(queue),
        last - PAGE + 1,
        last,
      ],
      options,
    );
    const texts = (Array.isArray(page) ? page : [])
      .filter((each) => each instanceof Uint8Array);
    for (const bytes of texts.reverse()) {
      yield { handle: await digest(bytes), bytes };
    }
    if (texts.length < PAGE) return;
  }
}

/** Equal messages have equal names: it does not matter which of them goes first. */
async function digest(bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes.slice());
  return Array.from(
    new Uint8Array(hash),
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join("");
}
