import {
  type ErrorCode,
  type FieldTable,
  type Message,
  MessagingError,
  type PeekedMessage,
} from "../../mod.ts";
import { adviceFor, lineOf } from "../advice.ts";
import { letterOf } from "../dead_letters.ts";
import { jsonOf } from "../output.ts";
import { drop as dropFrom } from "../redrive.ts";
import type { WatchedBroker } from "./broker.ts";

/** The most messages that are looked at. */
const MOST_MESSAGES = 200;
/** So much of a payload is shown, characters. */
const MOST_SHOWN = 20_000;

/** What a page asks for, as it has sent it. */
export type Wanted = Readonly<Record<string, unknown>>;

/** It asks for what cannot be done, and the text says what would be right. */
export class WantedError extends Error {
  /** Its name. */
  override readonly name: string = "WantedError";
}

/** It has failed on its way. */
class PartError extends Error {
  /** Made of how many were redriven before, and why no more were. */
  constructor(moved: number, cause: unknown) {
    const were = moved === 1 ? "message was" : "messages were";
    super(`${moved} ${were} redriven before this: ${lineOf(cause)}`, { cause });
  }
}

/** Something that is done to a queue, or asked of it. */
export interface Action {
  /** Whether the queue's numbers change by it. */
  readonly changes: boolean;
  /** Does it, and tells what the page shows. */
  run(broker: WatchedBroker, queue: string, wanted: Wanted): Promise<unknown>;
}

/** All that a page may ask for, by the last part of the path. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  open: { changes: true, run: open },
  queue: { changes: false, run: look },
  messages: { changes: false, run: peek },
  publish: { changes: true, run: publish },
  purge: { changes: true, run: purge },
  redrive: { changes: true, run: redrive },
  drop: { changes: true, run: drop },
};

/** The queue is looked at from now on, where the broker lists none. */
async function open(broker: WatchedBroker, queue: string): Promise<unknown> {
  await broker.open(queue);
  return {};
}

/** The queue's past, and how it was declared. */
async function look(broker: WatchedBroker, queue: string): Promise<unknown> {
  const past = broker.past(queue);
  const { declaration } = await broker.connection.inspect().queue(queue);
  return { past, declaration };
}

async function peek(
  { connection }: WatchedBroker,
  queue: string,
  { max = 20 }: Wanted,
): Promise<unknown> {
  const most = countIn(max, "max", MOST_MESSAGES);
  const found = await connection.queue(queue).peek({ max: most });
  return {
    messages: found.map(shown),
    taken: found.some(({ taken }) => taken),
  };
}

/** As JSON, whose payload is cut where it is long. */
function shown(message: PeekedMessage<unknown>): object {
  const { payload, body, ...rest } = letterOf(message) as {
    readonly payload?: unknown;
    readonly body?: unknown;
  };
  const isText = typeof payload === "string";
  const text = isText
    ? payload
    : JSON.stringify(JSON.parse(jsonOf(payload ?? body)), undefined, 2);
  const isCut = text.length > MOST_SHOWN;
  return {
    ...rest,
    size: message.body.byteLength,
    isText,
    text: isCut ? text.slice(0, MOST_SHOWN) : text,
    isCut,
  };
}

async function publish(
  { connection }: WatchedBroker,
  queue: string,
  { payload, isText = false, headers = "", delay = 0 }: Wanted,
): Promise<unknown> {
  if (typeof payload !== "string") {
    throw new WantedError("There is no payload.");
  }
  if (typeof delay !== "number" || !(delay >= 0)) {
    throw new WantedError("The delay is a number of seconds, 0 or more.");
  }
  const table = headersIn(headers);
  await using producer = connection.producer({ routingKey: queue });
  await producer.publish(
    isText === true ? payload : parsed(payload, "The payload"),
    { headers: table, delay: delay > 0 ? delay * 1000 : undefined },
  );
  return { published: 1 };
}

async function purge(
  { connection }: WatchedBroker,
  queue: string,
  { confirm }: Wanted,
): Promise<unknown> {
  if (confirm !== queue) {
    throw new WantedError(
      `Purging removes all ready messages for good: type the queue's name, "${queue}", to confirm.`,
    );
  }
  return { purged: await connection.purge(queue) };
}

async function redrive(
  { connection }: WatchedBroker,
  queue: string,
  { limit, to, id }: Wanted,
): Promise<unknown> {
  const most = limit === undefined
    ? undefined
    : countIn(limit, "limit", Number.MAX_SAFE_INTEGER);
  let before = 0;
  const { moved, kept } = await connection.redrive(queue, {
    limit: id === undefined ? most : 1,
    to: typeof to === "string" && to !== "" ? to : undefined,
    filter: id === undefined ? undefined : named(id),
    onProgress: (soFar) => before = soFar.moved,
  }).catch((cause) => {
    throw before === 0 ? cause : new PartError(before, cause);
  });
  if (id !== undefined && moved + kept === 0) throw new WantedError(GONE);
  return { moved, kept };
}

async function drop(
  { connection }: WatchedBroker,
  queue: string,
  { id }: Wanted,
): Promise<unknown> {
  const result = await dropFrom(connection, queue, {
    isMeant: named(id),
    limit: 1,
  });
  if (result.dropped === 0) throw new WantedError(GONE);
  return result;
}

const GONE = "This message is not there any more: look at the messages again.";

/** Says which message is the one that the page has shown. */
function named(id: unknown): (message: Message<unknown>) => boolean {
  if (typeof id !== "string") {
    throw new WantedError(
      "This message has no id, by which it could be found.",
    );
  }
  return ({ properties }) => properties.messageId === id;
}

/**
 * Says why something failed, for people.
 *
 * @param error The error.
 * @returns The status of the answer, the reason, and what to do about it.
 */
export function failureIn(error: unknown): {
  readonly status: number;
  readonly error: string;
  readonly advice: string | undefined;
} {
  const reason = error instanceof PartError ? error.cause : error;
  const status = isOfWanted(reason)
    ? 400
    : reason instanceof MessagingError
    ? 502
    : 500;
  return { status, error: lineOf(error), advice: adviceFor(reason) };
}

/** Whether it says what is wrong with what was asked for: as a delay or a header that no message can have. */
function isOfWanted(error: unknown): boolean {
  return error instanceof WantedError || error instanceof RangeError ||
    error instanceof MessagingError && OF_WANTED.has(error.code);
}

const OF_WANTED: ReadonlySet<string> = new Set<ErrorCode>([
  "encode-failed",
  "message-too-large",
  "option-invalid",
  "unsupported",
]);

function countIn(value: unknown, name: string, most: number): number {
  if (
    typeof value === "number" && Number.isInteger(value) && value >= 1 &&
    value <= most
  ) return value;
  throw new WantedError(`"${name}" is a whole number, from 1 to ${most}.`);
}

function headersIn(text: unknown): FieldTable {
  if (typeof text !== "string" || text.trim() === "") return {};
  const table = parsed(text, "The headers");
  if (typeof table !== "object" || table === null || Array.isArray(table)) {
    throw new WantedError('Headers are an object, as {"tenant": 7}.');
  }
  return table as FieldTable; // which the producer checks
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WantedError(`${what} cannot be read as JSON: ${lineOf(error)}`);
  }
}
