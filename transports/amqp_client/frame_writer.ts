import { EncodeError } from "../../model/errors.ts";
import {
  type FieldTable,
  type FieldValue,
  isFieldArray,
} from "../../model/field_table.ts";
import {
  checkFieldName,
  checkInteger,
  noType,
  numberType,
  timestampOf,
} from "../amqp_protocol/fields.ts";

const PAGE = 64 * 1024;
const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const END = 206;
const UTF8 = new TextEncoder();

/**
 * Writes AMQP's frames into pages, which leave when they are full or flushed: many
 * frames in one call of the socket. A frame that cannot be encoded leaves nothing.
 */
export class FrameWriter {
  readonly #send: (bytes: Uint8Array) => void;
  #page: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #view = new DataView(this.#page.buffer);
  /** The offset up to which bytes have been sent. */
  #sent = 0;
  /** The offset at which the frame, or the frames of a message, that is being written begins: it may still be dropped. */
  #mark = 0;
  #frame = 0;
  #at = 0;

  /** The largest frame that the broker takes, bytes; 0 is no limit. */
  frameMax = 0;

  /** Makes one; `send` is given bytes that nobody changes any more. */
  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
  }

  /**
   * Writes one method's frame.
   *
   * @param channel The channel's number.
   * @param method The method: its class and its number in the class.
   * @param write Writes the arguments.
   * @throws {EncodeError} If they cannot be encoded: then nothing is written.
   */
  method(channel: number, method: Method, write?: () => void): void {
    this.#whole(() => this.#method(channel, method, write));
  }

  /**
   * Writes a method's frame with a message behind it.
   *
   * @param channel The channel's number.
   * @param method The method.
   * @param write Writes the arguments.
   * @param body The message's body.
   * @param properties Writes the flags and the properties.
   * @throws {EncodeError} If it cannot be encoded: then nothing is written.
   */
  message(
    channel: number,
    method: Method,
    write: () => void,
    body: Uint8Array,
    properties: () => void,
  ): void {
    this.#whole(() => {
      this.#method(channel, method, write);
      this.#begin(HEADER, channel);
      this.short(method[0]);
      this.short(0);
      this.longlong(body.byteLength);
      properties();
      this.#end();
    });
    const most = (this.frameMax || 2 * PAGE) - 8;
    for (let start = 0; start < body.byteLength; start += most) {
      const part = body.byteLength <= most
        ? body
        : body.subarray(start, start + most);
      this.#mark = this.#at;
      this.#begin(BODY, channel);
      this.#raw(part);
      this.#end();
    }
  }

  /** Writes frames that are ready. */
  raw(bytes: Uint8Array): void {
    this.#mark = this.#at;
    this.#raw(bytes);
  }

  /** Sends the frames that were written. */
  flush(): void {
    if (this.#at === this.#sent) return;
    const bytes = this.#page.subarray(this.#sent, this.#at);
    this.#sent = this.#at;
    this.#send(bytes);
  }

  /** Writes 8 bits. */
  octet(value: number): void {
    this.#room(1);
    this.#page[this.#at++] = value;
  }

  /** Writes 16 bits. */
  short(value: number): void {
    this.#room(2);
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  /** Writes 32 bits. */
  long(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  /** Writes 64 bits. */
  longlong(value: number): void {
    this.#room(8);
    this.#view.setUint32(this.#at, Math.floor(value / 2 ** 32));
    this.#view.setUint32(this.#at + 4, value >>> 0);
    this.#at += 8;
  }

  /** Writes a string of at most 255 bytes. */
  shortString(text: string): void {
    this.#room(1 + 3 * text.length);
    const size = this.#text(this.#at + 1, text);
    if (size > 255) {
      throw new EncodeError(
        `Cannot encode "${
          text.slice(0, 40)
        }…": it has ${size} bytes, and AMQP's names and properties have at most 255`,
      );
    }
    this.#page[this.#at] = size;
    this.#at += 1 + size;
  }

  /** Writes a string of any length. */
  longString(text: string): void {
    this.#room(4 + 3 * text.length);
    const size = this.#text(this.#at + 4, text);
    this.#view.setUint32(this.#at, size);
    this.#at += 4 + size;
  }

  /** Writes a table; `undefined` entries are left out. */
  table(table: FieldTable): void {
    this.#sized(() => {
      for (const name of Object.keys(table)) {
        const value = table[name];
        if (value === undefined) continue;
        checkFieldName(name);
        this.shortString(name);
        this.#value(name, value);
      }
    });
  }

  #value(name: string, value: FieldValue): void {
    switch (typeof value) {
      case "string":
        this.#type("S");
        return this.longString(value);
      case "boolean":
        this.#type("t");
        return this.octet(value ? 1 : 0);
      case "number":
        return this.#number(value);
      case "bigint":
        checkInteger(name, value);
        return this.#bigint("l", value);
      case "object":
        break;
      default:
        throw noType(name, value);
    }
    if (value === null) return this.#type("V");
    if (value instanceof Uint8Array) {
      this.#type("x");
      this.long(value.byteLength);
      return this.#raw(value);
    }
    if (value instanceof Date) {
      return this.#bigint("T", BigInt(timestampOf(name, value)));
    }
    if (isFieldArray(value)) {
      this.#type("A");
      return this.#sized(() => {
        for (const each of value) this.#value(name, each);
      });
    }
    this.#type("F");
    this.table(value);
  }

  #number(value: number): void {
    switch (numberType(value)) {
      case "int32":
        this.#type("I");
        return this.long(value);
      case "int64":
        return this.#bigint("l", BigInt(value));
      case "double":
        this.#type("d");
        this.#room(8);
        this.#view.setFloat64(this.#at, value);
        this.#at += 8;
    }
  }

  #bigint(type: string, value: bigint): void {
    this.#type(type);
    this.#room(8);
    this.#view.setBigInt64(this.#at, value);
    this.#at += 8;
  }

  #type(letter: string): void {
    this.octet(letter.charCodeAt(0));
  }

  /** Writes something behind its size; by its distance from the mark, for the page may change. */
  #sized(write: () => void): void {
    this.long(0);
    const start = this.#at - this.#mark;
    write();
    const size = this.#at - this.#mark - start;
    this.#view.setUint32(this.#mark + start - 4, size);
  }

  #text(at: number, text: string): number {
    // Most names are short, and ASCII.
    if (text.length < 64) {
      const page = this.#page;
      let i = 0;
      for (; i < text.length; i++) {
        const code = text.charCodeAt(i);
        if (code > 127) break;
        page[at + i] = code;
      }
      if (i === text.length) return i;
    }
    return UTF8.encodeInto(text, this.#page.subarray(at)).written;
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.byteLength);
    this.#page.set(bytes, this.#at);
    this.#at += bytes.byteLength;
  }

  #method(channel: number, [of, method]: Method, write?: () => void): void {
    this.#begin(METHOD, channel);
    this.short(of);
    this.short(method);
    write?.();
    this.#end();
  }

  #begin(type: number, channel: number): void {
    this.#frame = this.#at - this.#mark;
    this.octet(type);
    this.short(channel);
    this.long(0);
  }

  #end(): void {
    this.octet(END);
    const frame = this.#mark + this.#frame;
    const size = this.#at - frame;
    if (this.frameMax > 0 && size > this.frameMax) {
      throw new EncodeError(
        `Cannot encode headers or arguments of ${size} bytes: the broker takes frames of ${this.frameMax}`,
      );
    }
    this.#view.setUint32(frame + 3, size - 8);
  }

  #whole(write: () => void): void {
    this.#mark = this.#at;
    try {
      write();
    } catch (error) {
      this.#at = this.#mark;
      throw error;
    }
  }

  #room(size: number): void {
    if (this.#at + size <= this.#page.byteLength) return;
    const kept = this.#page.subarray(this.#mark, this.#at);
    this.#at = this.#mark;
    this.flush();
    // A frame that outgrew a page may go on to grow.
    this.#page = new Uint8Array(
      Math.max(PAGE, kept.byteLength * 2 + size),
    );
    this.#view = new DataView(this.#page.buffer);
    this.#page.set(kept);
    this.#sent = this.#mark = 0;
    this.#at = kept.byteLength;
  }
}

/** A method: its class and its number in the class. */
export type Method = readonly [number, number];
