/** A proxy before a real broker that garbles what the broker says, the same way for the same seed. */

/** Numbers that look like chance. */
export type Chance = () => number;

/** Makes a chance of a seed (mulberry32). */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const GARBAGE: readonly string[] = [
  "\0",
  "\r\n",
  "$-2\r\n",
  "*-7\r\n",
  "%3\r\n",
  "-ERR x\r\n",
  "+OK\r\n",
  ":9223372036854775808\r\n",
  "$99999999999\r\n",
  "RESERVED 1 -1\r\n",
  "OK 4294967296\r\n",
  "INSERTED 18446744073709551616\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
  "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
  '{"__proto__":{"ok":true},"rows":7}',
  "AMQP\0\0\x09\x01",
  "\x01\0\0\xff\xff\xff\xff",
  "\x01\0\x01\0\0\0\x04\0\x3c\0\x3c\xce",
  "\x02\0\x01\0\0\0\x0e\0\x3c\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\xce",
  "\x03\0\x01\0\0\0\x01a\xce",
  "\x08\0\0\0\0\0\0\xce",
];

/** The ways to garble a piece of a broker's answer; `undefined` cuts the connection behind it. */
const MISDEEDS: Readonly<
  Record<string, (piece: Uint8Array, chance: Chance) => Uint8Array>
> = {
  flip: (piece, chance) => {
    const copy = piece.slice();
    const count = 1 + Math.floor(chance() * 4);
    for (let i = 0; i < count; i++) {
      const at = Math.floor(chance() * copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << Math.floor(chance() * 8));
    }
    return copy;
  },
  overwrite: (piece, chance) => {
    const copy = piece.slice();
    const at = Math.floor(chance() * copy.length);
    copy.fill(chance() < 0.5 ? 255 : 0, at, at + 1 + Math.floor(chance() * 8));
    return copy;
  },
  drop: () => new Uint8Array(),
  twice: (piece) => Uint8Array.of(...piece, ...piece),
  shorten: (piece, chance) =>
    piece.slice(0, Math.floor(chance() * piece.length)),
  behead: (piece, chance) => piece.slice(Math.floor(chance() * piece.length)),
  turn: (piece, chance) => {
    const at = Math.floor(chance() * piece.length);
    return Uint8Array.of(...piece.subarray(at), ...piece.subarray(0, at));
  },
  replace: (_, chance) => garbage(chance),
  insert: (piece, chance) => {
    const at = Math.floor(chance() * piece.length);
    return Uint8Array.of(
      ...piece.subarray(0, at),
      ...garbage(chance),
      ...piece.subarray(at),
    );
  },
  append: (piece, chance) => Uint8Array.of(...piece, ...garbage(chance)),
  noise: (piece, chance) => piece.map(() => Math.floor(chance() * 256)),
};

function garbage(chance: Chance): Uint8Array {
  const text = GARBAGE[Math.floor(chance() * GARBAGE.length)] ?? "";
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** How many pieces there are before the last one that is garbled. */
const STAGES = 24;

/** A garbler that is listening. */
export class Garbler implements AsyncDisposable {
  readonly #target: Deno.ConnectOptions;
  readonly #chance: Chance;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #passing = new Set<Promise<unknown>>();
  readonly #serving: Promise<void>;
  #isHonest = false;
  #accepted = 0;
  /** The changes that it made, for the report of a failure. */
  readonly deeds: string[] = [];

  /** Listens on a free port, and passes all on to where a URL leads. */
  constructor(url: string, chance: Chance) {
    const { hostname, port } = new URL(url.replace(/^[\w+-]+:/, "http:"));
    this.#target = { hostname, port: Number(port) };
    this.#chance = chance;
    this.#serving = this.#serve();
  }

  /** The URL that leads through it. */
  urlOf(url: string): string {
    return url.replace(
      /^(\w[\w+-]*:\/\/(?:[^@/]*@)?)[^/?]*/,
      `$1127.0.0.1:${this.#listener.addr.port}`,
    );
  }

  /** Cuts what there is, and passes on from now on what is said. */
  beHonest(): void {
    this.#isHonest = true;
    this.#cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#cut();
    await this.#serving;
    await Promise.allSettled(this.#passing);
  }

  #cut(): void {
    for (const socket of this.#open) close(socket);
    this.#open.clear();
  }

  async #serve(): Promise<void> {
    try {
      for await (const client of this.#listener) {
        const pass = this.#pass(client).catch(() => {});
        this.#passing.add(pass);
        pass.finally(() => this.#passing.delete(pass));
      }
    } catch {
      // It was closed.
    }
  }

  async #pass(client: Deno.Conn): Promise<void> {
    const server = await Deno.connect(this.#target);
    const pair = [client, server];
    for (const each of pair) this.#open.add(each);
    // Early ones more often: some connections have a single request.
    const stages = ++this.#accepted <= 4 ? 4 : STAGES;
    const stage = Math.floor(this.#chance() ** 2 * stages);
    const goesOn = this.#chance() < 0.3;
    let number = 0;
    const garble = (piece: Uint8Array): Uint8Array => {
      const isIt = goesOn ? number >= stage : number === stage;
      number++;
      return this.#isHonest || !isIt ? piece : this.#garble(piece, number);
    };
    await Promise.allSettled([
      copy(client, server, (piece) => piece),
      copy(server, client, garble),
    ]);
    for (const each of pair) {
      close(each);
      this.#open.delete(each);
    }
  }

  #garble(piece: Uint8Array, number: number): Uint8Array {
    const names = Object.keys(MISDEEDS);
    const name = names[Math.floor(this.#chance() * names.length)] ?? "";
    this.deeds.push(`${name} ${number}`);
    return MISDEEDS[name]?.(piece, this.#chance) ?? piece;
  }
}

async function copy(
  from: Deno.Conn,
  to: Deno.Conn,
  change: (piece: Uint8Array) => Uint8Array,
): Promise<void> {
  const buffer = new Uint8Array(16_384);
  try {
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      const piece = change(buffer.subarray(0, count));
      for (let sent = 0; sent < piece.length;) {
        sent += await to.write(piece.subarray(sent));
      }
    }
  } catch {
    // Cut, by us or by one of the two.
  }
  close(from);
  close(to);
}

function close(socket: Deno.Conn): void {
  try {
    socket.close();
  } catch {
    // It is closed.
  }
}
