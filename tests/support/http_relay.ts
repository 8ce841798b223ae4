/** An HTTP relay between a client and a real server, on loopback: it notes what is asked and answered, and may hold it up. */

import { arrives } from "../conformance/support.ts";

/** How long a request is waited for, ms: one that does not come is to end its test. */
const MAX_WAIT = 60_000;

/** How long answers that are held up have when all is over, ms. */
const LAST_WAIT = 5000;

/** A request, and its answer. */
export interface Exchanged {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly body: string;
  /** The answer; `undefined` while it has not ended, as of a feed. */
  answer: string | undefined;
}

/** A relay that is listening. */
export class HttpRelay implements AsyncDisposable {
  /** All that was asked so far. */
  readonly requests: Exchanged[] = [];
  /** Asked before a request goes on; a response is the answer in the server's place. */
  hold: (request: Exchanged) => Promise<void | Response> | undefined = () =>
    undefined;
  /** By how much the server's clock seems to be ahead, ms. */
  ahead = 0;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stop = new AbortController();
  /** Cuts off who does not end. */
  readonly #end = new AbortController();
  readonly #target: string;
  #waiting: (() => void)[] = [];

  /** Listens on a free port, and passes all on to where a URL leads. */
  constructor(url: string) {
    this.#target = `http://${new URL(url.replace(/^\w+:/, "http:")).host}`;
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        onListen() {},
        signal: this.#end.signal,
      },
      (request) => this.#relay(request),
    );
  }

  /** The URL that leads through it. */
  urlOf(url: string): string {
    return url.replace(
      /^(\w+:\/\/(?:[^@/]*@)?)[^/?]*/,
      `$1127.0.0.1:${this.#server.addr.port}`,
    );
  }

  /** Returns the requests whose paths begin so, after the database. */
  of(path: string): readonly Exchanged[] {
    return this.requests.filter((each) =>
      each.path.replace(/^\/[^/?]*/, "").startsWith(path)
    );
  }

  /** Waits until so many were asked for. */
  async until(path: string, count: number): Promise<void> {
    while (this.of(path).length < count) {
      await arrives(
        new Promise<void>((done) => this.#waiting.push(done)),
        `another "${path}"`,
        MAX_WAIT,
      );
    }
  }

  async #relay(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const asked: Exchanged = {
      method: request.method,
      path: pathname + search,
      body: await request.text(),
      answer: undefined,
    };
    this.requests.push(asked);
    for (const done of this.#waiting.splice(0)) done();
    const instead = await this.hold(asked);
    if (instead instanceof Response) return instead;
    const headers = new Headers(request.headers);
    headers.delete("host");
    headers.set("accept-encoding", "identity"); // it is read here
    try {
      const response = await fetch(this.#target + asked.path, {
        method: asked.method,
        headers,
        body: asked.body === "" ? null : asked.body,
        signal: this.#stop.signal,
      });
      const { status } = response;
      const init = { status, headers: this.#headersOf(response) };
      if (search.includes("feed=continuous")) {
        return new Response(response.body, init);
      }
      asked.answer = await response.text();
      return new Response(
        status === 304 || status === 204 ? null : asked.answer,
        init,
      );
    } catch {
      return new Response(null, { status: 503 });
    }
  }

  #headersOf({ headers }: Response): Headers {
    const told = new Headers(headers);
    if (this.ahead !== 0) {
      told.set("date", new Date(Date.now() + this.ahead).toUTCString());
    }
    return told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    // A held-up answer delays this for no longer than a moment.
    await arrives(this.#server.shutdown(), "its end", LAST_WAIT)
      .catch(() => this.#end.abort());
  }
}
