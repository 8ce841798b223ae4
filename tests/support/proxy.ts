/** A TCP proxy between a client and a real server, on loopback, that can misbehave. */

/** How it treats connections. */
export type Fault = "none" | "hang up" | "stall" | "mute" | "break off";

/** Listens on a port; on a free one where that is 0. */
type Open = (port: number) => Deno.TcpListener | Deno.TlsListener;

/** A proxy that is listening. */
export class Proxy implements AsyncDisposable {
  readonly #target: Deno.ConnectOptions;
  readonly #pairs = new Set<readonly [Deno.Conn, Deno.Conn]>();
  readonly #open: Open;
  readonly #port: number;
  #listener: Deno.TcpListener | Deno.TlsListener | undefined;
  #serving: Promise<void> | undefined;
  #fault: Fault = "none";
  #split: number | undefined;
  #delay = 0;
  /** While it is not read: what comes stays in the kernel. */
  #unread: Promise<void> | undefined;
  #accepted = 0;
  /** Shown what clients send, as it comes. */
  onSent: (bytes: Uint8Array) => void = () => {};
  /** Shown what servers say, before it is passed on: it may write to it. */
  onAnswer: (bytes: Uint8Array) => void = () => {};
  /** The connections that are stalled by themselves, by when they came. */
  readonly #stalled = new Set<number>();

  private constructor(target: Deno.ConnectOptions, open: Open) {
    this.#target = target;
    this.#open = open;
    const listener = open(0);
    this.#port = listener.addr.port;
    this.#listen(listener);
  }

  /** Listens on a free port, and passes all on to where a URL leads. */
  static to(url: string): Proxy {
    const { hostname, port } = new URL(url.replace(/^[\w+-]+:/, "http:"));
    return new Proxy(
      { hostname, port: Number(port) },
      (port) => Deno.listen({ hostname: "127.0.0.1", port }),
    );
  }

  /** The same with TLS, which ends here: the server gets what was said. */
  static tlsTo(
    url: string,
    certificate: { readonly cert: string; readonly key: string },
  ): Proxy {
    const { hostname, port } = new URL(url.replace(/^[\w+-]+:/, "http:"));
    return new Proxy(
      { hostname, port: Number(port) },
      (port) => Deno.listenTls({ ...certificate, hostname: "127.0.0.1", port }),
    );
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#port;
  }

  /** How many connections came. */
  get accepted(): number {
    return this.#accepted;
  }

  /** The URL that leads through it. */
  urlOf(url: string): string {
    return url.replace(
      /^(\w[\w+-]*:\/\/(?:[^@/]*@)?)[^/?]*/,
      `$1127.0.0.1:${this.#port}`,
    );
  }

  /** Passes on so many bytes at a time, at most; without a number as many as come. Holds for new connections. */
  split(bytes?: number): void {
    this.#split = bytes;
  }

  /** Passes on all that comes so many milliseconds later. */
  delay(duration: number): void {
    this.#delay = duration;
  }

  /** Closes all connections with bytes unread: the other side gets a reset. */
  async reset(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#unread = promise;
    await new Promise((done) => setTimeout(done, 50));
    this.cut();
    this.#unread = undefined;
    resolve();
  }

  /** Cuts all connections, and takes no more. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
    this.cut();
  }

  /** Keeps all connections, old and new, and passes on nothing: a black hole. */
  stall(): void {
    this.#fault = "stall";
  }

  /** The same for one connection alone: the how manieth, from 1. */
  stallOne(number: number): void {
    this.#stalled.add(number);
  }

  /** Cuts all connections, and takes new ones only to hang up. */
  hangUp(): void {
    this.#fault = "hang up";
    this.cut();
  }

  /** Passes on nothing of what servers say: they hear, and are not heard. */
  mute(): void {
    this.#fault = "mute";
  }

  /** Says to all clients that their servers have no more to say, and keeps the other way open. */
  async halfClose(): Promise<void> {
    const pairs = [...this.#pairs];
    await Promise.allSettled(pairs.map(([client]) => client.closeWrite()));
  }

  /** Passes on half of what the server says next, and cuts the connection there. */
  breakOff(): void {
    this.#fault = "break off";
  }

  /** Passes on again; what stalled is cut, for bytes were lost. */
  heal(): void {
    const wasStalled = this.#fault === "stall" || this.#fault === "mute" ||
      this.#stalled.size > 0;
    this.#fault = "none";
    this.#stalled.clear();
    if (wasStalled) this.cut();
    if (this.#listener === undefined) {
      this.#listen(this.#open(this.#port));
    }
  }

  /** Cuts all connections that are open now. */
  cut(): void {
    for (const pair of this.#pairs) close(pair);
    this.#pairs.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    await this.#serving;
  }

  #listen(listener: Deno.TcpListener | Deno.TlsListener): void {
    this.#listener = listener;
    this.#serving = this.#serve(listener);
  }

  async #serve(
    listener: Deno.TcpListener | Deno.TlsListener,
  ): Promise<void> {
    const passing = new Set<Promise<void>>();
    try {
      for await (const client of listener) {
        this.#accepted++;
        const pass = this.#pass(client).finally(() => passing.delete(pass));
        passing.add(pass);
      }
    } catch {
      // It was closed.
    }
    await Promise.all(passing);
  }

  async #pass(client: Deno.Conn): Promise<void> {
    const number = this.#accepted;
    if (this.#fault === "hang up") return client.close();
    let server: Deno.Conn;
    try {
      server = await Deno.connect(this.#target);
    } catch {
      return client.close();
    }
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    await Promise.all([
      this.#copy(client, server, number, true),
      this.#copy(server, client, number, false),
    ]);
    this.#pairs.delete(pair);
    close(pair);
  }

  async #copy(
    from: Deno.Conn,
    to: Deno.Conn,
    number: number,
    sent: boolean,
  ): Promise<void> {
    const buffer = new Uint8Array(this.#split ?? 65_536);
    try {
      for (;;) {
        if (this.#unread !== undefined) await this.#unread;
        const count = await from.read(buffer);
        if (count === null) break;
        (sent ? this.onSent : this.onAnswer)(buffer.subarray(0, count));
        if (this.#delay > 0) {
          await new Promise((done) => setTimeout(done, this.#delay));
        }
        if (this.#fault === "stall" || this.#stalled.has(number)) continue;
        if (this.#fault === "mute" && !sent) continue;
        const cut = this.#fault === "break off" && !sent;
        const most = cut ? Math.floor(count / 2) : count;
        for (let passed = 0; passed < most;) {
          passed += await to.write(buffer.subarray(passed, most));
        }
        if (cut) return close([from, to]);
      }
      // Half closed: the other way ends by itself.
      await to.closeWrite();
    } catch {
      // Cut, by us or by one of the two.
    }
  }
}

function close(pair: readonly [Deno.Conn, Deno.Conn]): void {
  for (const each of pair) {
    try {
      each.close();
    } catch {
      // It is closed.
    }
  }
}
