import { asError } from "../../model/error_text.ts";
import { Buffer } from "node:buffer";
import { createConnection, type Socket } from "node:net";
import type { Clock } from "../../async/clock.ts";
import {
  MAX_RESPONSE,
  ResponseTooLargeError,
} from "../../model/response_limit.ts";
import { Ring } from "../../async/ring.ts";
import { type Peer, peerOf } from "../peer.ts";

/** The server's reply to one command. */
export interface Reply {
  /** Its first word, in capitals. */
  readonly word: string;
  /** The first number after it; `NaN` if there is none. */
  readonly number: number;
  /** The bytes that came with it: a job's body, or statistics. */
  readonly body: Uint8Array | undefined;
}

/** Commands that were sent together, and the caller that waits for their replies. */
export interface Exchange {
  /** How many replies are owed. */
  readonly count: number;
  /** How long the server may take by the command's own words: a `reserve-with-timeout`, ms. */
  readonly wait: number;
  /** All replies are there, in order. Must not throw. */
  done(replies: readonly Reply[]): void;
  /** They will not come. Must not throw. */
  lost(error: Error): void;
}

/** The address to connect to, and the limits by which a lost server is noticed. */
export interface ClientOptions {
  readonly hostname: string;
  readonly port: number;
  /** The maximum number of bytes of a job. @default {67_108_864} */
  readonly maxResponseSize?: number | undefined;
  /** Milliseconds of silence after which the server is asked for a sign of life; 0 never asks. */
  readonly heartbeat: number;
  readonly clock: Clock;
}

/** Answers with a body, whose length is their last number. */
const WITH_BODY: ReadonlySet<string> = new Set(["RESERVED", "FOUND", "OK"]);

/** The longest line that a server may send: names have 200 bytes at most. */
const LONGEST_LINE = 1024;

/** How long what has come may wait to be read, ms. */
const GRACE = 50;

const CR = 13;
const LF = 10;

interface Waiting {
  readonly exchange: Exchange;
  readonly replies: Reply[];
}

/**
 * One socket to a beanstalkd. Commands are sent in the order in which they are given,
 * those of one go of the microtask queue in one write, and replies come in that order.
 */
export class BeanstalkClient {
  /** Settles once, when the socket is closed: with why, or with nothing if we hung up. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  readonly #settleClosed: (error: Error | undefined) => void;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #heartbeat: number;
  readonly #waiting = new Ring<Waiting>();
  readonly #reader: ReplyReader;
  #unsent = "";
  /** When something was last heard; or when a command was sent while none was owed an answer. */
  #since: number;
  /** The silence that was to be the last, and was given a moment more. */
  #doubted: number | undefined;
  #stopTimer: (() => void) | undefined;
  #error: Error | undefined;
  #hungUp = false;
  #ended = false;

  private constructor(socket: Socket, options: ClientOptions) {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#socket = socket;
    this.#clock = options.clock;
    this.#heartbeat = options.heartbeat;
    this.#since = options.clock.now();
    this.#reader = new ReplyReader(
      options.maxResponseSize ?? MAX_RESPONSE,
      (reply) => this.#take(reply),
    );
    socket.on("data", (chunk: Buffer) => this.#hear(chunk));
    socket.on("error", (error: Error) => this.#error ??= error);
    // Half open is for us alone: a server that has ended sends no more.
    socket.on("end", () => socket.destroy());
    socket.on("close", () => this.#end());
    this.#arm(this.#heartbeat);
  }

  /**
   * Dials once.
   *
   * @param options The address, and the limits.
   * @param onSocket Is given a way to give up, at once.
   * @returns The client.
   * @throws The system's error.
   */
  static dial(
    options: ClientOptions,
    onSocket: (giveUp: (error: Error) => void) => void,
  ): Promise<BeanstalkClient> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = options;
      const socket = createConnection({
        host: hostname,
        port,
        allowHalfOpen: true,
        noDelay: true,
      });
      let error: Error | undefined;
      const failed = (cause: Error) => error ??= cause;
      const closed = () =>
        reject(error ?? new Error("the socket was closed at once"));
      socket.on("error", failed);
      socket.on("close", closed);
      socket.once("connect", () => {
        socket.off("close", closed);
        socket.off("error", failed);
        resolve(new BeanstalkClient(socket, options));
      });
      onSocket((reason) => void socket.destroy(reason));
    });
  }

  /**
   * Counts the bytes of a text as they are sent.
   *
   * @param text The text.
   * @returns Its length in UTF-8.
   */
  static byteLength(text: string): number {
    return Buffer.byteLength(text);
  }

  /** Whether nothing more can be sent. */
  get ended(): boolean {
    return this.#ended || this.#hungUp || this.#error !== undefined;
  }

  /** Sends commands, each with its end of line. The caller has looked that it has not ended. */
  send(commands: string, exchange: Exchange): void {
    if (this.#waiting.size === 0) this.#since = this.#clock.now();
    this.#waiting.push({ exchange, replies: [] });
    if (this.#unsent === "") queueMicrotask(this.#flush);
    this.#unsent += commands;
  }

  /**
   * Says that nothing more will be sent. Commands that were sent are still answered, a
   * waiting reserve by TIMED_OUT; then the server releases all jobs, and closes.
   */
  hangUp(): void {
    if (this.ended) return;
    this.#flush();
    this.#hungUp = true;
    this.#since = this.#clock.now();
    this.#socket.end();
  }

  /** Tells who is at its other end. */
  get peer(): Peer | undefined {
    return peerOf(this.#socket);
  }

  /** Cuts the socket; pending replies reject with `error`. */
  destroy(error: Error): void {
    this.#error ??= error;
    this.#stopTimer?.(); // nobody may be there to wait until it is closed
    this.#socket.destroy();
  }

  readonly #flush = (): void => {
    const text = this.#unsent;
    this.#unsent = "";
    if (text !== "" && !this.ended) this.#socket.write(text, "utf8");
  };

  #hear(chunk: Buffer): void {
    this.#since = this.#clock.now();
    try {
      this.#reader.read(chunk);
    } catch (error) {
      this.destroy(asError(error));
    }
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting.at(0);
    if (waiting === undefined) {
      throw new Error(`the server sent ${reply.word}, which nobody asked for`);
    }
    waiting.replies.push(reply);
    if (waiting.replies.length < waiting.exchange.count) return;
    this.#waiting.shift();
    waiting.exchange.done(waiting.replies);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopTimer?.();
    const owed = this.#waiting.clear();
    const error = this.#error ??
      (this.#hungUp && owed.length === 0
        ? undefined
        : new Error("the server closed the connection"));
    for (const { exchange } of owed) {
      exchange.lost(error ?? new Error("the connection was closed"));
    }
    this.#settleClosed(this.#hungUp ? undefined : error);
  }

  #arm(delay: number): void {
    if (this.#heartbeat <= 0) return;
    this.#stopTimer = this.#clock.timer(this.#look, Math.ceil(delay));
  }

  /** Looks for signs of life: no later than a heartbeat after the last look. */
  readonly #look = (): void => {
    if (this.#ended) return;
    const owed = this.#waiting.at(0);
    const silent = this.#clock.now() - this.#since;
    const wait = this.#hungUp ? 0 : owed?.exchange.wait ?? 0;
    const left = wait + this.#heartbeat - silent;
    if (left > 0) return this.#arm(Math.min(left, this.#heartbeat));
    if (owed !== undefined || this.#hungUp) {
      if (this.#doubted !== this.#since) {
        // A process that was busy has not read yet what may have come long ago.
        this.#doubted = this.#since;
        return this.#arm(GRACE);
      }
      return this.destroy(
        new Error(`the server was silent for ${Math.round(silent)} ms`),
      );
    }
    this.send("list-tube-used\r\n", IGNORED);
    this.#arm(this.#heartbeat);
  };
}

const IGNORED: Exchange = { count: 1, wait: 0, done() {}, lost() {} };

/** Makes replies of bytes, however they are cut into chunks. */
class ReplyReader {
  readonly #most: number;
  readonly #onReply: (reply: Reply) => void;
  #left: Buffer | undefined;
  /** The least that makes sense to look at again. */
  #need = 0;
  /** The buffer in which the chunks of a large body are joined. The bytes behind `#left` in it are free. */
  #room: ArrayBufferLike | undefined;

  constructor(most: number, onReply: (reply: Reply) => void) {
    this.#most = most;
    this.#onReply = onReply;
  }

  read(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#left !== undefined) {
      bytes = this.#append(this.#left, chunk);
      // A large body in many chunks: not looked at before it is whole.
      if (bytes.length < this.#need) {
        this.#left = bytes;
        return;
      }
    }
    const used = this.#readAll(bytes);
    this.#left = used === bytes.length ? undefined : bytes.subarray(used);
    if (this.#left === undefined) this.#room = undefined;
  }

  /** Joins chunks in room that doubles: what came is not copied again for each of them. */
  #append(left: Buffer, chunk: Buffer): Buffer {
    const length = left.length + chunk.length;
    let joined: Buffer;
    if (
      left.buffer === this.#room &&
      left.byteOffset + length <= this.#room.byteLength
    ) joined = Buffer.from(this.#room, left.byteOffset, length);
    else {
      const room = new ArrayBuffer(Math.max(length, this.#need) * 2);
      this.#room = room;
      joined = Buffer.from(room, 0, length);
      left.copy(joined);
    }
    chunk.copy(joined, left.length);
    return joined;
  }

  #readAll(bytes: Buffer): number {
    let at = 0;
    this.#need = 0;
    for (;;) {
      const lineEnd = bytes.indexOf(LF, at);
      if (lineEnd < 0 || lineEnd - at > LONGEST_LINE) {
        if (bytes.length - at <= LONGEST_LINE) return at;
        throw new Error("the server does not speak beanstalkd's protocol");
      }
      if (bytes[lineEnd - 1] !== CR) {
        throw new Error("the server does not speak beanstalkd's protocol");
      }
      const line = bytes.toString("latin1", at, lineEnd - 1);
      const space = line.indexOf(" ");
      const word = space < 0 ? line : line.slice(0, space);
      let next = lineEnd + 1;
      let body: Uint8Array | undefined;
      if (WITH_BODY.has(word)) {
        const size = Number(line.slice(line.lastIndexOf(" ") + 1));
        if (size > this.#most) throw new ResponseTooLargeError(this.#most);
        next += size + 2;
        if (!(next <= bytes.length)) {
          if (!Number.isSafeInteger(size)) {
            throw new Error("the server does not speak beanstalkd's protocol");
          }
          this.#need = next - at;
          return at;
        }
        body = new Uint8Array(
          bytes.buffer,
          bytes.byteOffset + lineEnd + 1,
          size,
        );
      }
      at = next;
      this.#onReply({ word, number: numberIn(line, space + 1), body });
    }
  }
}

/** The number that begins there, if there is one. */
function numberIn(line: string, start: number): number {
  if (start === 0) return NaN;
  const end = line.indexOf(" ", start);
  return Number(line.slice(start, end < 0 ? undefined : end));
}
