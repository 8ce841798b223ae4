import {
  parseJson,
  stringifyJson,
  stringifyLooseJson,
} from "../../codec/mod.ts";
import { DecodeError, EncodeError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import { hasLimit, type QueueTraits } from "../../virtual/queue_arguments.ts";
import { readHeaders } from "../store/envelope.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { Place, Row, Value } from "./port.ts";

/** The beginning of a head, and what it says. */
interface Beginning {
  readonly exchange: string;
  readonly routingKey: string;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly text: string;
}

/**
 * Writes all of a message but its body: JSON with AMQP's names, without what is as it
 * mostly is. Put together as text: an object that is stringified costs twice as much.
 */
export class HeadWriter {
  /** Of the head before: most messages of a queue begin alike. */
  #beginning: Beginning | undefined;

  /**
   * Writes the head of a message.
   *
   * @throws {EncodeError} If a header cannot be written as JSON.
   */
  write(message: Publishing): string {
    const { properties, republished } = message;
    const { headers, timestamp, deliveryMode, priority } = properties;
    const seconds = timestamp && Math.floor(timestamp.getTime() / 1000);
    const isInvalid = Number.isNaN(seconds);
    // A retry leaves out an invalid timestamp that another program wrote.
    if (isInvalid && !republished) {
      throw new EncodeError(
        "Cannot write a message: its timestamp is an invalid Date",
      );
    }
    const text = this.#begin(message) +
      property("delivery_mode", deliveryMode === "transient" ? 1 : undefined) +
      property("priority", priority === 0 ? undefined : priority) +
      property("correlation_id", properties.correlationId) +
      property("reply_to", properties.replyTo) +
      property("expiration", properties.expiration) +
      property("message_id", properties.messageId) +
      property("timestamp", isInvalid ? undefined : seconds) +
      property("type", properties.type) +
      property("user_id", properties.userId) +
      property("app_id", properties.appId);
    if (headers === undefined) return `${text}}`;
    const table = republished
      ? stringifyLooseJson(headers)
      : stringifyJson(headers);
    return table === "{}" ? `${text}}` : `${text},"headers":${table}}`;
  }

  #begin({ exchange, routingKey, properties }: Publishing): string {
    const { contentType, contentEncoding } = properties;
    const before = this.#beginning;
    if (
      before?.exchange === exchange && before.routingKey === routingKey &&
      before.contentType === contentType &&
      before.contentEncoding === contentEncoding
    ) return before.text;
    const text = [
      `{"routing_key":${JSON.stringify(routingKey)}`,
      property("exchange", exchange === "" ? undefined : exchange),
      property("content_type", contentType),
      property("content_encoding", contentEncoding),
    ].join("");
    const what = { exchange, routingKey, contentType, contentEncoding };
    this.#beginning = { ...what, text };
    return text;
  }

  /** Writes the head of a message that was read, with other headers. */
  rewrite(message: Publishing, headers: FieldTable): string {
    const properties = { ...message.properties, headers };
    return this.write({ ...message, properties, republished: true });
  }
}

/** Writes what follows another property; none where it is not there. */
function property(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `,"${name}":${JSON.stringify(value)}`;
}

/** Reads the body of a row: SQLite keeps a text where somebody else has put one. */
export function bytesOf(body: Row[string] | undefined): Uint8Array {
  if (body instanceof Uint8Array) return body;
  const text = body === null || body === undefined ? "" : String(body);
  return new TextEncoder().encode(text);
}

/** Reads the message of a row. */
export function messageOf({ head, body }: Row): Publishing | Malformed {
  const bytes = bytesOf(body);
  if (head === null) {
    const error = new DecodeError(
      "Cannot read a message: it is larger than the option maxResponseSize allows",
    );
    return { error, body: bytes };
  }
  try {
    return readHead(String(head), bytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { error, body: bytes };
  }
}

/** What stands before the message's own name in a head. */
const NAME = ',"message_id":"';

/** A name that needs no parser, and the end of the head. */
const PLAIN_END = /^[\w-]*"\}$/;

/** Most heads of a queue are the same up to the message's name: what such a beginning says. */
let known: {
  readonly beginning: string;
  readonly head: Omit<Publishing, "body">;
} | undefined;

function readHead(text: string, body: Uint8Array): Publishing {
  const at = text.indexOf(NAME);
  const end = text.slice(at + NAME.length);
  if (at < 2 || !PLAIN_END.test(end)) return { ...parseHead(text), body };
  const beginning = text.slice(0, at);
  if (known?.beginning !== beginning) {
    known = { beginning, head: parseHead(`${beginning}}`) };
  }
  const { head } = known;
  const { headers, timestamp } = head.properties;
  // Of what can be changed each message has its own.
  if (timestamp !== undefined || Object.keys(headers ?? {}).length > 0) {
    return { ...parseHead(text), body };
  }
  const messageId = end.slice(0, -2);
  return {
    ...head,
    properties: { ...head.properties, headers: {}, messageId },
    body,
  };
}

function parseHead(text: string): Omit<Publishing, "body"> {
  const head = parseJson(text);
  if (typeof head !== "object" || head === null || Array.isArray(head)) {
    throw new DecodeError("Cannot read a message: its head is no object");
  }
  const fields = head as Readonly<Record<string, unknown>>;
  const { expiration, priority, timestamp } = fields;
  return {
    exchange: textOf(fields.exchange) ?? "",
    routingKey: textOf(fields.routing_key) ?? "",
    mandatory: false,
    delay: 0,
    properties: {
      contentType: textOf(fields.content_type),
      contentEncoding: textOf(fields.content_encoding),
      headers: readHeaders(fields.headers),
      deliveryMode: fields.delivery_mode === 1 ? "transient" : "persistent",
      priority: typeof priority === "number" ? priority : 0,
      correlationId: textOf(fields.correlation_id),
      replyTo: textOf(fields.reply_to),
      expiration: typeof expiration === "number" ? expiration : undefined,
      messageId: textOf(fields.message_id),
      timestamp: typeof timestamp === "number"
        ? new Date(timestamp * 1000)
        : undefined,
      type: textOf(fields.type),
      userId: textOf(fields.user_id),
      appId: textOf(fields.app_id),
    },
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Makes the row of a message that was taken, of the values that a claim reads, in their order. */
export function takenRow(
  queue: number,
  [rank = 0, id = 0, deliveries = 0, at = null, size = 0, head = "", body]:
    readonly Value[],
): Row {
  return {
    queue,
    rank,
    id,
    deliveries,
    expires_at: at,
    size,
    head,
    body: body ?? null,
  };
}

/** Reads the place of a row. */
export function placeOf({ queue, rank, id }: Row): Place {
  return { queue: Number(queue), rank: Number(rank), id: Number(id) };
}

/** A message that a connection holds. */
export class SqlReservation implements Reservation {
  readonly queue: string;
  readonly place: Place;
  readonly holder: number;
  readonly message: Publishing | Malformed;
  readonly deliveryCount: number;
  readonly expired: boolean;
  readonly timeLeft: number | undefined;
  readonly keepsPlace: boolean;
  /** Whether its queue has a limit of length. */
  readonly isCounted: boolean;
  /** When its time to live is over, ms since 1970. */
  readonly expiresAt: number;
  /** Bytes of the body. */
  readonly size: number;
  /** Whether it is settled: what comes then is too late. */
  isOver = false;

  /** Made of a row that was taken. */
  constructor(
    queue: string,
    row: Row,
    holder: number,
    { expired, traits, now }: {
      readonly expired: boolean;
      /** Of its queue. */
      readonly traits: QueueTraits;
      /** When it was taken, ms since 1970. */
      readonly now: number;
    },
  ) {
    this.queue = queue;
    this.place = placeOf(row);
    this.holder = holder;
    this.message = messageOf(row);
    this.size = Number(row.size ?? this.message.body.length);
    this.deliveryCount = Number(row.deliveries);
    this.expired = expired;
    this.keepsPlace = traits.ordered;
    this.isCounted = hasLimit(traits);
    const { expires_at: expiresAt } = row;
    this.expiresAt = typeof expiresAt === "number" ? expiresAt : Infinity;
    this.timeLeft = this.expiresAt === Infinity
      ? undefined
      : this.expiresAt - now;
  }

  get handle(): string {
    return String(this.place.id);
  }

  get takesHeaders(): boolean {
    return this.keepsPlace;
  }

  get redelivered(): boolean {
    return this.deliveryCount > 0;
  }
}
