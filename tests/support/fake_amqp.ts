/** A broker of AMQP 0-9-1 for tests: it says yes to everything, and then what the test tells it to. */

import { FrameWriter } from "../../transports/amqp_client/frame_writer.ts";

/** A method's arguments, one after the other. */
export type Write = (writer: FrameWriter) => void;

/** A method that a client has sent. */
export interface Call {
  readonly channel: number;
  /** Its class and its number in the class, such as `60.40`. */
  readonly method: string;
  /** The first name among its arguments: a queue's, an exchange's, a tag's. */
  readonly name: string;
  /** All of its arguments, a letter for each byte. */
  readonly text: string;
}

/** One client's connection. */
export interface Peer {
  /** Sends a method. */
  method(
    channel: number,
    method: readonly [number, number],
    write?: Write,
  ): void;
  /** Delivers a message to a consumer; `headers` are a table's bytes. */
  deliver(consumer: Consumer, tag: bigint, headers?: Uint8Array): void;
  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void;
  /** Sends a piece again and again, until so many bytes have left. */
  flood(piece: Uint8Array, total: number): void;
  readonly consumers: readonly Consumer[];
}

/** A consumer that a client has started. */
export interface Consumer {
  readonly channel: number;
  readonly tag: string;
}

/** Hears of each method; whoever returns true has answered it. */
export type OnCall = (call: Call, peer: Peer) => boolean | void;

const ANSWERS: Readonly<
  Record<string, readonly [readonly [number, number], (name: string) => Write]>
> = {
  "10.11": [[10, 30], () => (writer) => {
    writer.short(2047);
    writer.long(131_072);
    writer.short(0);
  }],
  "10.40": [[10, 41], () => (writer) => writer.shortString("")],
  "10.50": [[10, 51], () => () => {}],
  "20.10": [[20, 11], () => (writer) => writer.longString("")],
  "20.40": [[20, 41], () => () => {}],
  "40.10": [[40, 11], () => () => {}],
  "50.10": [[50, 11], (name) => (writer) => {
    writer.shortString(name);
    writer.long(0);
    writer.long(0);
  }],
  "50.20": [[50, 21], () => () => {}],
  "60.10": [[60, 11], () => () => {}],
  "60.20": [[60, 21], (name) => (writer) => writer.shortString(name)],
  "60.30": [[60, 31], (name) => (writer) => writer.shortString(name)],
  "85.10": [[85, 11], () => () => {}],
};

/** The offset of the name in each method's arguments; a consumer's tag comes behind its queue. */
const BEHIND_TICKET = new Set(["40.10", "50.10", "50.20", "60.20", "60.40"]);

/** Listens on loopback until it is disposed of. */
export class FakeAmqp implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #sockets = new Set<Deno.TcpConn>();
  readonly #onCall: OnCall;
  readonly #product: string;
  readonly port: number = this.#listener.addr.port;
  /** How many connections there were. */
  accepted = 0;
  /** How many bytes of a flood have left, at most. */
  flooded = 0;

  /** Makes one that answers what `onCall` does not, and says that it is a RabbitMQ. */
  constructor(onCall: OnCall = () => {}, product = "RabbitMQ") {
    this.#onCall = onCall;
    this.#product = product;
    this.#accept().catch(() => {});
  }

  /** How many connections are open. */
  get open(): number {
    return this.#sockets.size;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const socket of this.#sockets) close(socket);
  }

  async #accept(): Promise<void> {
    for await (const socket of this.#listener) {
      this.accepted++;
      this.#sockets.add(socket);
      this.#serve(socket).catch(() => {}).finally(() => {
        close(socket);
        this.#sockets.delete(socket);
      });
    }
  }

  async #serve(socket: Deno.TcpConn): Promise<void> {
    const out: Uint8Array[] = [];
    let sending = Promise.resolve();
    const writer = new FrameWriter((bytes) => {
      out.push(bytes.slice());
      sending = sending.then(() => sendAll(socket, out)).catch(() => {});
    });
    const consumers: Consumer[] = [];
    const peer: Peer = {
      consumers,
      raw: (bytes) => {
        writer.raw(bytes);
        writer.flush();
      },
      flood: (piece, total) => {
        sending = sending.then(async () => {
          for (let sent = 0; sent < total;) {
            sent += await socket.write(piece);
            this.flooded = Math.max(this.flooded, sent);
          }
        }).catch(() => {});
      },
      method: (channel, method, write) => {
        writer.method(channel, method, () => write?.(writer));
        writer.flush();
      },
      deliver: ({ channel, tag }, deliveryTag, headers) => {
        writer.message(
          channel,
          [60, 60],
          () => {
            writer.shortString(tag);
            writer.long(Number(deliveryTag >> 32n));
            writer.long(Number(deliveryTag & 0xffffffffn));
            writer.octet(0);
            writer.shortString("");
            writer.shortString("q");
          },
          new TextEncoder().encode("1"),
          () => {
            writer.short(headers === undefined ? 0x8000 : 0xa000);
            writer.shortString("application/json");
            if (headers === undefined) return;
            writer.long(headers.byteLength);
            for (const byte of headers) writer.octet(byte);
          },
        );
        writer.flush();
      },
    };
    const bytes = new Bytes(socket);
    await bytes.read(8); // the greeting
    peer.method(0, [10, 10], (writer) => {
      writer.octet(0);
      writer.octet(9);
      writer.table({ product: this.#product });
      writer.longString("PLAIN");
      writer.longString("en_US");
    });
    for (;;) {
      const header = new DataView((await bytes.read(7)).buffer);
      const payload = await bytes.read(header.getUint32(3));
      await bytes.read(1);
      if (header.getUint8(0) !== 1) continue;
      this.#answer(header.getUint16(1), payload, peer, consumers);
    }
  }

  #answer(
    channel: number,
    payload: Uint8Array<ArrayBuffer>,
    peer: Peer,
    consumers: Consumer[],
  ): void {
    const view = new DataView(payload.buffer);
    const method = `${view.getUint16(0)}.${view.getUint16(2)}`;
    let at = BEHIND_TICKET.has(method) ? 6 : 4;
    const name = (): string => {
      const size = payload[at] ?? 0;
      at += 1 + size;
      return new TextDecoder().decode(payload.subarray(at - size, at));
    };
    const first = name();
    const tag = method === "60.20" ? name() : first;
    const text = String.fromCharCode(...payload.subarray(4));
    const call = { channel, method, name: first, text };
    const isAnswered = this.#onCall(call, peer);
    if (isAnswered === true) return;
    const [answer, write] = ANSWERS[method] ?? [];
    if (answer !== undefined) peer.method(channel, answer, write?.(tag));
    if (method !== "60.20") return;
    consumers.push({ channel, tag });
    this.#onCall({ ...call, method: "consuming" }, peer);
  }
}

class Bytes {
  readonly #socket: Deno.TcpConn;

  constructor(socket: Deno.TcpConn) {
    this.#socket = socket;
  }

  async read(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const count = await this.#socket.read(bytes.subarray(at));
      if (count === null) throw new Error("the client has gone");
      at += count;
    }
    return bytes;
  }
}

async function sendAll(socket: Deno.TcpConn, out: Uint8Array[]): Promise<void> {
  for (let bytes = out.shift(); bytes !== undefined; bytes = out.shift()) {
    for (let at = 0; at < bytes.byteLength;) {
      at += await socket.write(bytes.subarray(at));
    }
  }
}

function close(socket: Deno.TcpConn): void {
  try {
    socket.close();
  } catch {
    // It is closed.
  }
}
