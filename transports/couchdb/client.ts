import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import { mostSilence, Silence } from "../../async/silence.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  AuthenticationError,
  ClosedError,
  type ConnectionError,
} from "../../model/errors.ts";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import { hideSecrets } from "../../model/secrets.ts";
import type { CloseReason } from "../transport.ts";
import {
  cannotConnect,
  connectionLost,
  notAnswered,
} from "../connection_errors.ts";
import { Lines, parseBody, readBody, readText } from "./body.ts";
import {
  isFatal,
  isForeign,
  readRefusal,
  RefusedError,
  requestError,
  wordsOf,
} from "./errors.ts";
import { loginOf } from "./login.ts";
import type { DialOptions } from "./options.ts";
import type { Answer, Request } from "./request.ts";
import { ServerTime } from "./server_time.ts";
import type { Sender } from "./https_client.ts";

/** The platform's: its idle sockets keep no process alive. */
const FETCH: Sender = {
  // Redirects are refused by hand: by fetch's own way Bun 1.2.17 takes 304 for one.
  send: async (url, init) =>
    refuseRedirect(await fetch(url, { ...init, redirect: "manual" })),
  close() {},
};

/** What is sent has a password, and is for no other server. */
async function refuseRedirect(response: Response): Promise<Response> {
  const { status, type } = response;
  const isRedirect = status >= 300 && status < 400 && status !== 304;
  if (!isRedirect && type !== "opaqueredirect") return response;
  await response.body?.cancel();
  throw new TypeError(
    "the server redirects to another URL, which is not followed",
  );
}

/** How long closing waits for requests that were aborted, ms. */
const LAST_WAIT = 1000;

/** Requests to one database. The platform keeps the sockets; we know when a request is lost. */
export class CouchdbClient {
  /** The server's time. */
  readonly time: ServerTime;
  /** Settles once, when no more requests are made. Never rejects. */
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #dial: DialOptions;
  readonly #clock: Clock;
  /** The limits of calls; nothing is watched any more when it is closed. */
  readonly limits: Limits;
  readonly #sender: Sender;
  readonly #headers: Readonly<Record<string, string>>;
  /** Secrets that no error text may show, in the forms in which they are sent. */
  readonly #secrets: readonly string[];
  readonly #silence: Silence;
  /** Under way: how to end them, and when they have ended. */
  readonly #pending = new Map<Promise<unknown>, (error: Error) => void>();
  #end: Error | undefined;

  private constructor(
    dial: DialOptions,
    password: string | undefined,
    sender: Sender,
    clock: Clock,
  ) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#dial = dial;
    this.#clock = clock;
    this.limits = new Limits(clock);
    this.#sender = sender;
    // The calendar is looked at once: it may step, and what goes on from there does not.
    const began = clock.wall() - clock.now();
    this.time = new ServerTime(() => Math.floor(began + clock.now()));
    this.#silence = new Silence(
      clock,
      mostSilence(dial.heartbeat, dial.operationTimeout),
    );
    const login = loginOf(dial.username, password);
    this.#headers = { accept: "application/json", ...login.headers };
    this.#secrets = login.secrets;
  }

  /**
   * Looks whether the database is there, and makes it if it is not.
   *
   * @param dial The address, and the options.
   * @param password The password.
   * @param clock The time.
   * @param options The limits.
   * @returns The client.
   * @throws {ConnectionError} If it cannot be had; an `AuthenticationError` where the user may not.
   */
  static async open(
    dial: DialOptions,
    password: string | undefined,
    clock: Clock,
    options: CallOptions,
  ): Promise<CouchdbClient> {
    const { tls } = dial;
    const sender = tls === undefined || Object.keys(tls).length === 0
      ? FETCH
      : (await import("./https_client.ts")).createSender(tls);
    const client = new CouchdbClient(dial, password, sender, clock);
    try {
      await client.#findDatabase(options);
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  async #findDatabase(options: CallOptions): Promise<void> {
    const action = `connect to "${this.#dial.broker}"`;
    const ask = async (method: "GET" | "PUT") => {
      const accept = [401, 403, 404, 409, 412];
      const request = { method, path: "", accept };
      const answer = await this.#request(action, request, options, true);
      if (answer.status !== 401 && answer.status !== 403) return answer;
      const { error, reason } = readRefusal(answer.status, answer.body);
      throw new AuthenticationError(
        answer.status === 401
          ? `Cannot ${action}: CouchDB refused the user or its password (${error}: ${reason})`
          : `Cannot ${action}: the user may not ${
            method === "GET" ? "use" : "create"
          } the database "${this.#dial.database}" (${error}: ${reason}); let an administrator create it, or make the user its member`,
        { outcome: "not-sent" },
      );
    };
    if ((await ask("GET")).status < 400) return;
    // 412: somebody else was faster.
    await ask("PUT");
  }

  /**
   * Makes a request, and reads all of its answer.
   *
   * @param action The action, for the error, after `Cannot `.
   * @param request The request.
   * @param options The call's limits; `operationTimeout` bounds it in any case.
   * @returns The answer.
   */
  call(
    action: string,
    request: Request,
    options?: CallOptions,
  ): Promise<Answer> {
    return this.#request(action, request, options, false);
  }

  /**
   * Listens to an answer that goes on, line by line, until it is aborted or lost.
   *
   * @param path Behind the database's name.
   * @param signal Ends it quietly.
   * @param onLine Called for each line, the empty ones too. Must not throw.
   */
  follow(
    path: string,
    signal: AbortSignal,
    onLine: (line: string) => void,
  ): Promise<void> {
    if (this.#end !== undefined) return Promise.resolve();
    const controller = new AbortController();
    const stop = () => controller.abort();
    signal.addEventListener("abort", stop, { once: true });
    const following = this.#follow(path, controller, onLine)
      .catch((cause: unknown) => {
        if (controller.signal.aborted) return;
        this.lose(this.#lostBy(cause));
      })
      .finally(() => {
        signal.removeEventListener("abort", stop);
        this.#pending.delete(following);
      });
    this.#pending.set(following, stop);
    return following;
  }

  async #follow(
    path: string,
    controller: AbortController,
    onLine: (line: string) => void,
  ): Promise<void> {
    const { heartbeat } = this.#dial;
    const bound = heartbeat > 0 ? 2 * heartbeat : Infinity;
    // Each piece is a sign of life; the first may take as long as any answer.
    let watch = this.limits.watchDeadline(
      this.#silence.ask(),
      () => this.#loseSilent(this.#silence.most),
    );
    try {
      const response = await this.#sender.send(this.#url(path), {
        method: "GET",
        // A compressed answer may wait in a buffer for more of it.
        headers: { ...this.#headers, "accept-encoding": "identity" },
        signal: controller.signal,
      });
      if (response.status >= 400) {
        const most = this.#dial.maxResponseSize;
        const body = parseBody(
          await readText(response.body, controller.signal, most),
        );
        const refusal = readRefusal(response.status, body, this.#secrets);
        return this.lose(requestError("listen to changes", refusal));
      }
      const lines = new Lines(this.#dial.maxResponseSize, onLine);
      await readBody(response.body, controller.signal, (text) => {
        watch.cancel();
        this.#silence.end();
        watch = this.limits.watchDeadline(
          this.#clock.now() + bound,
          () => this.#loseSilent(bound),
        );
        lines.push(text);
      });
      throw new Error("the feed of changes ended");
    } finally {
      watch.cancel();
    }
  }

  /** Ends it: what is under way rejects with the error. */
  lose(error: Error): void {
    this.#finish(error, { type: "lost", error });
  }

  /** Ends it quietly, and waits until no request is under way. */
  async close(): Promise<void> {
    const error = new ClosedError("Cannot use the connection: it is closed");
    const pending = [...this.#pending.keys()];
    this.#finish(error, { type: "closed" });
    // Aborted requests end at once; a platform where they do not is not waited for.
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const stopTimer = this.#clock.timer(resolve, LAST_WAIT);
    await Promise.race([Promise.allSettled(pending), late]);
    stopTimer();
  }

  #finish(error: Error, reason: CloseReason): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    for (const stop of this.#pending.values()) stop(error);
    this.limits.end(() => error);
    this.#sender.close();
    this.#settleClosed(reason);
  }

  #request(
    action: string,
    request: Request,
    options: CallOptions | undefined,
    first: boolean,
  ): Promise<Answer> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    try {
      this.limits.check(options, () => action);
    } catch (error) {
      return Promise.reject(error);
    }
    const controller = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    /** Rejects now; the platform may take its time to end the request. */
    const stop = (error: unknown) => {
      reject(error);
      controller.abort();
    };
    const due = this.#silence.ask();
    const deadline = Math.min(options?.deadline ?? Infinity, due);
    const unwatch = this.limits.watch(
      { signal: options?.signal, deadline },
      (reason) => {
        const isOwn = reason !== undefined || deadline !== due;
        if (isOwn || first) {
          stop(
            reason === undefined
              ? notAnswered(action, first ? "not-sent" : "unknown", "CouchDB")
              : reason.aborted,
          );
        }
        if (first || (isOwn && !this.#silence.isTooLong)) return;
        this.#loseSilent(this.#silence.most);
      },
    );
    const sending = this.#exchange(request, controller.signal)
      .then((answer) => this.#check(action, request, answer))
      .catch((error: unknown) => {
        if (controller.signal.aborted) return reject(error);
        const isOwn = request.splits && error instanceof ResponseTooLargeError;
        reject(isOwn ? error : this.#translate(action, error, first));
      })
      .then((answer) => {
        unwatch();
        this.#pending.delete(sending);
        if (answer !== undefined) resolve(answer);
      });
    this.#pending.set(sending, stop);
    return promise;
  }

  async #exchange(request: Request, signal: AbortSignal): Promise<Answer> {
    const sent = this.time.wall();
    const { method, path, body, etag, isOfServer } = request;
    const url = isOfServer ? `${this.#dial.origin}${path}` : this.#url(path);
    const response = await this.#sender.send(url, {
      method,
      headers: {
        ...this.#headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(etag === undefined ? {} : { "if-none-match": etag }),
      },
      body: body ?? null,
      signal,
    });
    const { maxResponseSize } = this.#dial;
    const text = await readText(response.body, signal, maxResponseSize);
    this.#silence.end();
    const date = response.headers.get("date");
    this.time.observe(date, sent);
    return {
      status: response.status,
      body: parseBody(text),
      etag: response.headers.get("etag"),
      date,
    };
  }

  #check(action: string, request: Request, answer: Answer): Answer {
    const { status, body } = answer;
    if (status < 400) return answer;
    const refusal = readRefusal(status, body, this.#secrets);
    if (isForeign(refusal)) {
      throw new Error(`something else answers ${status} in CouchDB's place`);
    }
    if (request.accept?.includes(status)) return answer;
    throw new RefusedError(action, refusal);
  }

  #translate(action: string, error: unknown, first: boolean): Error {
    hideSecrets(error, this.#secrets, this.#dial.broker);
    if (error instanceof RefusedError) {
      const translated = requestError(action, error.refusal);
      // It has worked before: with the next connection it may again.
      if (!first && translated instanceof AuthenticationError) {
        const lost = this.#lostBy(translated);
        this.lose(lost);
        return lost;
      }
      if (!first && isFatal(error.refusal)) this.lose(translated);
      return translated;
    }
    if (first) {
      return cannotConnect(action, wordsOf(error), { cause: error });
    }
    const lost = this.#lostBy(error);
    this.lose(lost);
    return lost;
  }

  #loseSilent(after: number): void {
    const silence = new Error(`CouchDB was silent for ${Math.round(after)} ms`);
    this.lose(this.#lostBy(silence));
  }

  #lostBy(cause: unknown): ConnectionError {
    return connectionLost(this.#dial.broker, wordsOf(cause), { cause });
  }

  #url(path: string): string {
    const { origin, database } = this.#dial;
    return `${origin}/${encodeURIComponent(database)}${path}`;
  }
}
