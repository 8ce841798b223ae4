/** A relay before a server of MongoDB, on loopback, that may answer commands in its place, as a server that steps down does. */

import { BSON } from "mongodb";

/** A document of a server's answer, or of a command. */
export type Answer = Readonly<Record<string, unknown>>;

/** The error of a server that is no longer primary. */
export interface StepDown {
  readonly code: number;
  readonly codeName: string;
}

const HEADER = 16;
const OP_MSG = 2013;

/** A relay that is listening. */
export class MongodbRelay implements AsyncDisposable {
  /** The commands that were refused, by name. */
  readonly refused: string[] = [];
  /**
   * Says whether a command is to be answered in the server's place, by its name, who asks
   * and the document, and how; with `"silence"` it is never answered.
   */
  refuse: (
    command: string,
    client: Deno.Conn,
    asked: Answer,
  ) => StepDown | Answer | "silence" | undefined = () => undefined;
  readonly #listener: Deno.TcpListener;
  readonly #target: { readonly hostname: string; readonly port: number };
  readonly #open = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;

  /** Listens on a free port, and passes all on to where a URL leads. */
  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#target = { hostname, port: Number(port) };
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#serving = this.#serve();
  }

  /** The URL that leads through it. */
  urlOf(url: string): string {
    const { host } = new URL(url);
    return url.replace(host, `127.0.0.1:${this.#listener.addr.port}`);
  }

  /** Closes all connections. */
  cut(): void {
    for (const each of this.#open) close(each);
  }

  async #serve(): Promise<void> {
    const relaying: Promise<void>[] = [];
    try {
      for await (const client of this.#listener) {
        relaying.push(this.#relay(client));
      }
    } catch {
      // It was closed.
    }
    await Promise.all(relaying);
  }

  async #relay(client: Deno.Conn): Promise<void> {
    const server = await Deno.connect(this.#target);
    for (const each of [client, server]) this.#open.add(each);
    const asking = this.#ask(client, server);
    const answering = server.readable.pipeTo(client.writable);
    await Promise.allSettled([asking, answering]);
    for (const each of [client, server]) {
      this.#open.delete(each);
      close(each);
    }
  }

  /** Passes on messages, whole ones, or answers them. */
  async #ask(client: Deno.Conn, server: Deno.Conn): Promise<void> {
    const reader = client.readable.getReader();
    const writer = server.writable.getWriter();
    let bytes = new Uint8Array(0);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      bytes = join(bytes, value);
      for (;;) {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        const length = bytes.length < 4 ? Infinity : view.getInt32(0, true);
        if (bytes.length < length) break;
        const message = bytes.subarray(0, length);
        bytes = bytes.slice(length);
        const asked = askedBy(message);
        const [command = ""] = Object.keys(asked);
        const answer = this.refuse(command, client, asked);
        if (answer === undefined) await writer.write(message);
        else {
          this.refused.push(command);
          if (answer === "silence") continue;
          await client.write(answerTo(message, answer));
        }
      }
    }
    await writer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const each of this.#open) close(each);
    await this.#serving;
  }
}

/** The document of a command; an empty one of the time before OP_MSG. */
function askedBy(message: Uint8Array): Answer {
  const view = new DataView(message.buffer, message.byteOffset);
  if (view.getInt32(12, true) !== OP_MSG) return {};
  // Flags, and the kind of section.
  const at = HEADER + 4 + 1;
  const size = view.getInt32(at, true);
  return BSON.deserialize(message.subarray(at, at + size));
}

function answerTo(message: Uint8Array, said: StepDown | Answer) {
  const { codeName: errmsg } = said;
  const document = BSON.serialize({ ok: 0, errmsg, ...said });
  const answer = new Uint8Array(HEADER + 5 + document.length);
  const view = new DataView(answer.buffer);
  const asked = new DataView(message.buffer, message.byteOffset);
  view.setInt32(0, answer.length, true);
  view.setInt32(8, asked.getInt32(4, true), true);
  view.setInt32(12, OP_MSG, true);
  answer.set(document, HEADER + 5);
  return answer;
}

function join(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}
