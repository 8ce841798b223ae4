/** The headers of what came, as the server keeps them: it takes any bytes, and looks at none. */

/** The headers of a message, or of an answer. */
export interface NatsHeaders {
  /** A status, as HTTP's; 0 for a message. */
  readonly code: number;
  /** The words of the status. */
  readonly description: string;
  /** The first value of a header; `""` if there is none. */
  get(name: string): string;
  /** All values of a header. */
  values(name: string): readonly string[];
  /** The names of all. */
  keys(): readonly string[];
}

/** A message of the client, as far as it is looked at; `headers` throws for a name that HTTP would not take. */
interface ClientMessage {
  readonly subject: string;
  readonly reply?: string | undefined;
  readonly data: Uint8Array;
  readonly headers?: NatsHeaders | undefined;
}

/** Makes sure that the headers of a message can be read: what is thrown in a callback would end the connection. */
export function readable<T extends ClientMessage>(
  message: T,
): T | ClientMessage {
  try {
    void message.headers;
    return message;
  } catch {
    const { subject, reply, data } = message;
    return { subject, reply, data, headers: parseHeaders(rawOf(message)) };
  }
}

/** The client keeps the bytes, and hands out only what it has read. */
function rawOf(message: object): Uint8Array {
  const { _msg: { hdr } = { hdr: 0 }, _rdata: bytes } = Object(message);
  return bytes instanceof Uint8Array
    ? bytes.subarray(0, Number(hdr))
    : new Uint8Array();
}

/** How many bytes a message has that came without its body, for it is larger than `maxResponseSize`; else 0. */
export function cutSize(message: object): number {
  const { _msg, _rdata: bytes } = Object(message);
  const size = Number(Object(_msg).size);
  return bytes instanceof Uint8Array && size > bytes.length ? size : 0;
}

const TEXT = new TextDecoder();

/** Reads lines of headers, whatever their names are. */
export function parseHeaders(bytes: Uint8Array): NatsHeaders {
  const [first = "", ...lines] = TEXT.decode(bytes).split("\r\n");
  const [, code = "", description = ""] =
    /^NATS\/1\.0\s+(\d+)\s*(.*)$/.exec(first) ?? [];
  const all = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    const values = all.get(name);
    if (values === undefined) all.set(name, [value]);
    else values.push(value);
  }
  return {
    code: Number(code),
    description,
    get: (name) => all.get(name)?.[0] ?? "",
    values: (name) => all.get(name) ?? [],
    keys: () => [...all.keys()],
  };
}

const UTF8 = new TextEncoder();

/** Headers as the client sends them: it asks what it is given for these bytes, and for nothing else. */
export function written(head: string): { encode(): Uint8Array } {
  const bytes = UTF8.encode(`NATS/1.0\r\n${head}\r\n`);
  return { encode: () => bytes };
}
