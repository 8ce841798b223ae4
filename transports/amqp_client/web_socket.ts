import { asError } from "../../model/error_text.ts";
import type { Wire, WireEvents } from "./wire.ts";

/** The address of a WebSocket, in the form that its handshake needs. */
export interface WebSocketPlace {
  /** The name and, where it is not the scheme's own, the port. */
  readonly host: string;
  readonly path: string;
}

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** More than this is no answer to a handshake. */
const MAX_ANSWER = 16 * 1024;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/**
 * Speaks WebSocket (RFC 6455) over a wire. The platform's own can be given no authority or
 * certificate, and where the other side has fallen silent it cannot be cut: it keeps
 * its process alive until the system gives up.
 *
 * @param place The address.
 * @param open Opens the wire below, by TCP or TLS.
 * @param events Hears of what happens.
 * @returns The wire; not yet open.
 */
export function openWebSocket(
  place: WebSocketPlace,
  open: (events: WireEvents) => Wire,
  events: WireEvents,
): Wire {
  const key = btoa(
    String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))),
  );
  let failure: Error | undefined;
  const fail = (error: unknown) => {
    failure ??= asError(error);
    wire.destroy();
  };
  const reader = new Reader({
    payload: (bytes) => events.received(bytes),
    control: (opcode, bytes) => {
      if (opcode === PING) wire.write(frameOf(PONG, bytes));
      if (opcode !== CLOSE) return;
      wire.write(frameOf(CLOSE, bytes.subarray(0, 2)));
      fail(new Error(`the WebSocket was closed (${closeText(bytes)})`));
    },
  });
  let accept: string | undefined;
  let answer: Uint8Array | undefined = new Uint8Array();
  const greet = async () => {
    accept = await acceptOf(key);
    wire.write(new TextEncoder().encode(requestOf(place, key)));
  };
  const received = (bytes: Uint8Array) => {
    if (failure !== undefined) return;
    if (answer === undefined) return reader.push(bytes);
    answer = joined(answer, bytes);
    const end = endOfAnswer(answer);
    if (end === undefined) return;
    checkAnswer(new TextDecoder().decode(answer.subarray(0, end)), accept);
    const rest = answer.subarray(end);
    answer = undefined;
    events.opened();
    if (rest.byteLength > 0) reader.push(rest);
  };
  const wire = open({
    opened: () => void greet().catch(fail),
    received(bytes) {
      try {
        received(bytes);
      } catch (error) {
        fail(error);
      }
    },
    closed: (error) => events.closed(failure ?? error),
  });
  return {
    write: (bytes, done) => wire.write(frameOf(BINARY, bytes), done),
    // A pong that nobody asked for means nothing (RFC 6455, 5.5.3).
    left: (done) => wire.left(done, frameOf(PONG, new Uint8Array(0))),
    end() {
      wire.write(frameOf(CLOSE, Uint8Array.of(3, 232))); // 1000: all is well
      wire.end();
    },
    destroy: () => wire.destroy(),
  };
}

function requestOf({ host, path }: WebSocketPlace, key: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${key}`,
    "Sec-WebSocket-Version: 13",
    "",
    "",
  ].join("\r\n");
}

/** Returns the `Sec-WebSocket-Accept` for the key, which shows that the server speaks WebSocket and is no cache. */
async function acceptOf(key: string): Promise<string> {
  const bytes = new TextEncoder().encode(key + GUID);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", bytes));
  return btoa(String.fromCharCode(...digest));
}

function endOfAnswer(bytes: Uint8Array): number | undefined {
  for (let i = 3; i < bytes.byteLength; i++) {
    if (
      bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 &&
      bytes[i - 3] === 13
    ) return i + 1;
  }
  if (bytes.byteLength < MAX_ANSWER) return undefined;
  throw new Error("the answer is none to a WebSocket's handshake");
}

function checkAnswer(text: string, accept: string | undefined): void {
  const [status = "", ...lines] = text.split("\r\n");
  if (!/^HTTP\/1\.1 101\b/.test(status)) {
    throw new Error(
      `the endpoint answered "${
        status.slice(0, 100)
      }", and would have switched to WebSocket with 101`,
    );
  }
  const header = lines.find((line) => /^sec-websocket-accept:/i.test(line));
  if (header?.slice(header.indexOf(":") + 1).trim() !== accept) {
    throw new Error("the endpoint answered for another WebSocket");
  }
}

function closeText(bytes: Uint8Array): string {
  if (bytes.byteLength < 2) return "without a reason";
  const code = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  const reason = new TextDecoder().decode(bytes.subarray(2));
  return reason === "" ? String(code) : `${code}: ${reason}`;
}

/** A client's frame: masked, so that no proxy takes it for something else. */
function frameOf(opcode: number, bytes: Uint8Array): Uint8Array {
  const size = bytes.byteLength;
  const head = size < 126 ? 2 : size < 65_536 ? 4 : 10;
  const frame = new Uint8Array(head + 4 + size);
  const view = new DataView(frame.buffer);
  frame[0] = 128 | opcode;
  if (head === 2) frame[1] = 128 | size;
  else if (head === 4) {
    frame[1] = 128 | 126;
    view.setUint16(2, size);
  } else {
    frame[1] = 128 | 127;
    view.setUint32(2, Math.floor(size / 2 ** 32));
    view.setUint32(6, size >>> 0);
  }
  const mask = crypto.getRandomValues(frame.subarray(head, head + 4));
  const start = head + 4;
  frame.set(bytes, start);
  const word = new DataView(frame.buffer, head, 4).getUint32(0);
  let at = start;
  for (; at + 4 <= frame.byteLength; at += 4) {
    view.setUint32(at, view.getUint32(at) ^ word);
  }
  for (; at < frame.byteLength; at++) {
    frame[at] = (frame[at] ?? 0) ^ (mask[(at - start) & 3] ?? 0);
  }
  return frame;
}

interface ReaderEvents {
  /** A part of the stream: where one message ends and the next begins means nothing to AMQP. */
  payload(bytes: Uint8Array): void;
  control(opcode: number, bytes: Uint8Array): void;
}

/** Reads a server's frames. */
class Reader {
  readonly #events: ReaderEvents;
  /** A frame's head, or a control frame, that has begun. */
  #part: Uint8Array = new Uint8Array();
  /** How much of a frame's payload is still to come. */
  #left = 0;

  constructor(events: ReaderEvents) {
    this.#events = events;
  }

  push(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.byteLength > 0) {
      if (this.#left > 0) {
        const part = rest.subarray(0, this.#left);
        this.#left -= part.byteLength;
        rest = rest.subarray(part.byteLength);
        this.#events.payload(part);
      } else rest = this.#begin(rest);
    }
  }

  /** Reads a head, with all of a control frame; returns the bytes behind it. */
  #begin(bytes: Uint8Array): Uint8Array {
    const known = this.#part.byteLength === 0
      ? bytes
      : joined(this.#part, bytes);
    this.#part = new Uint8Array();
    const view = new DataView(known.buffer, known.byteOffset, known.byteLength);
    const short = known.byteLength < 2 ? 0 : view.getUint8(1);
    const head = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (known.byteLength < head) return this.#keep(known);
    const opcode = view.getUint8(0) & 15;
    const isControl = opcode >= CLOSE;
    if (
      (view.getUint8(0) & 112) !== 0 || short > 127 ||
      (isControl ? short > 125 || opcode > PONG : opcode > BINARY)
    ) throw new Error("what came is no frame of a WebSocket");
    if (opcode === 1) {
      throw new Error("the WebSocket brought text, and AMQP is bytes");
    }
    if (isControl) {
      if (known.byteLength < head + short) return this.#keep(known);
      this.#events.control(opcode, known.slice(head, head + short));
      return known.subarray(head + short);
    }
    this.#left = head === 2
      ? short
      : head === 4
      ? view.getUint16(2)
      : view.getUint32(2) * 2 ** 32 + view.getUint32(6);
    return known.subarray(head);
  }

  #keep(bytes: Uint8Array): Uint8Array {
    this.#part = bytes.slice();
    return bytes.subarray(bytes.byteLength);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.byteLength + b.byteLength);
  both.set(a);
  both.set(b, a.byteLength);
  return both;
}
