import { DecodeError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { EnvelopeWriter, readEnvelope } from "../store/envelope.ts";
import type { Malformed } from "../store/store.ts";

/** The content of a job's body. */
export interface JobBody {
  /** The message, or why it is none. */
  readonly message: Publishing | Malformed;
  /** Its time to live, from when it was put; `undefined` if it has none. */
  readonly life: Life | undefined;
  /** Whether its publisher says that it was delivered before. */
  readonly redelivered: boolean;
}

/** How long a job's message is to be delivered. */
export interface Life {
  /** Milliseconds from when it was put, its delay among them. */
  readonly duration: number;
  /** When it was put by its publisher's clock, ms since 1970. */
  readonly putAt: number;
}

/** The first key of an envelope whose message has a time to live. Kombu passes over it. */
const EXPIRES = '{"expires": ';

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Writes the bodies of jobs: Kombu's envelope. */
export class BodyWriter {
  readonly #envelopes = new EnvelopeWriter();

  /**
   * Writes a message.
   *
   * @param message The message.
   * @param life Its time to live, if it has one.
   * @returns The body.
   * @throws {EncodeError} If a header cannot be written as JSON.
   */
  write(message: Publishing, life: Life | undefined): string {
    const envelope = this.#envelopes.write(message, crypto.randomUUID());
    return life === undefined
      ? envelope
      : `${EXPIRES}[${Math.round(life.duration)}, ${Math.round(life.putAt)}], ${
        envelope.slice(1)
      }`;
  }
}

/**
 * Reads the body of a job, ours or another program's.
 *
 * @param body Its bytes.
 * @returns The content of the job.
 */
export function readBody(body: Uint8Array): JobBody {
  try {
    const text = UTF8.decode(body);
    const { message, redelivered } = readEnvelope(text);
    return { message, redelivered, life: lifeOf(text) };
  } catch (cause) {
    const error = cause instanceof DecodeError ? cause : new DecodeError(
      "Cannot read a job: its body is no UTF-8",
      { cause },
    );
    return {
      message: { error, body: body.slice() },
      redelivered: false,
      life: undefined,
    };
  }
}

function lifeOf(text: string): Life | undefined {
  if (!text.startsWith(EXPIRES)) return undefined;
  const found = /^\[(\d{1,16}), (\d{1,16})\]/.exec(
    text.slice(EXPIRES.length, EXPIRES.length + 40),
  );
  return found === null
    ? undefined
    : { duration: Number(found[1]), putAt: Number(found[2]) };
}

/**
 * Says how much of a message's time to live is left. beanstalkd counts a job's age in
 * whole seconds, and its word counts; our calendar, which may be wrong or step, is
 * asked within that second alone.
 *
 * @param life Its time to live.
 * @param age The job's age by beanstalkd, in whole seconds.
 * @param wall Our calendar, ms since 1970.
 * @returns Milliseconds; 0 or less if it is over.
 */
export function timeLeft(life: Life, age: number, wall: number): number {
  const least = age * 1000;
  const told = wall - life.putAt;
  const isSure = told >= least && told < least + 1000;
  return life.duration - (isSure ? told : least);
}

/** The lowest priority of AMQP's that is told apart, as beanstalkd has it: its 0 comes first. */
const LAST = 9;

/**
 * Says which priority a job has. Of AMQP's the higher comes first, of beanstalkd's the
 * lower.
 *
 * @param priority AMQP's, from 0 to 9; none is 0.
 * @param most The highest that the queue tells apart.
 * @returns beanstalkd's.
 * @throws {RangeError} If it is out of range.
 */
export function jobPriority(
  priority: number | undefined,
  most: number = LAST,
): number {
  if (priority === undefined) return LAST;
  if (Number.isInteger(priority) && priority >= 0 && priority <= LAST) {
    return LAST - Math.min(priority, most);
  }
  throw new RangeError(
    `Cannot put a message of priority ${priority}: it must be from 0 to ${LAST}`,
  );
}

/**
 * Makes whole seconds of milliseconds, as beanstalkd counts them.
 *
 * @param duration Milliseconds.
 * @returns Seconds, rounded up, no more than beanstalkd can count.
 */
export function wholeSeconds(duration: number): number {
  return Math.min(Math.ceil(duration / 1000), 2 ** 32 - 1);
}

/** Statistics: beanstalkd's lines of `name: value`. */
export class Statistics {
  readonly #text: string;

  /** Reads them from the bytes of a reply. */
  constructor(body: Uint8Array | undefined) {
    this.#text = new TextDecoder().decode(body);
  }

  /** Finds a number; 0 if it is not there. */
  number(name: string): number {
    return Number(this.text(name) ?? 0);
  }

  /** Finds a text. Newer servers put quotes around some. */
  text(name: string): string | undefined {
    const start = this.#text.indexOf(`\n${name}: `);
    if (start < 0) return undefined;
    const from = start + name.length + 3;
    const end = this.#text.indexOf("\n", from);
    const value = this.#text.slice(from, end < 0 ? undefined : end);
    return value.startsWith('"') ? value.slice(1, -1) : value;
  }
}
