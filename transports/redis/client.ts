import { Redis } from "ioredis";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { Limits } from "../../async/limits.ts";
import { errorText } from "../../model/error_text.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  AccessRefusedError,
  ChannelError,
  ConnectionError,
  MessagingError,
} from "../../model/errors.ts";
import type { CloseReason } from "../transport.ts";
import {
  connectionClosed,
  notAnswered,
  NotNowError,
} from "../connection_errors.ts";
import { type Peer, peerOf } from "../peer.ts";
import { guardAnswers } from "./socket/answers_client.ts";
import { type Arrivals, listenTo } from "./socket/arrivals.ts";
import { type Dial, redisOptions } from "./socket/dial.ts";
import {
  isLoss,
  isReplyError,
  lostError,
  noHandshake,
  passingError,
  replyError,
} from "./errors.ts";
import { Heartbeat } from "./socket/heartbeat.ts";
import type { Push } from "./socket/push_client.ts";
import { Replication } from "./socket/replication.ts";
import type { RedisArgument, RedisReply } from "./reply.ts";
import { Watching } from "./socket/watching_client.ts";

/** A script, and the name that the server has for it. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

/** The action of a liveness check, for errors. */
const HEAR = "hear from the server";

/** The limits of a call, and the listener for an answer that comes when nobody waits any more. */
export interface RunOptions extends CallOptions {
  /** Must not throw. */
  readonly late?: ((reply: RedisReply) => void) | undefined;
  /** What stands before all keys of a script that may be in another slot than others: it is the first of its keys. */
  readonly place?: string | undefined;
  /** Whether it fails at once where in a cluster no node serves its slot now: its caller does it again. @default {it waits for one} */
  readonly isOnce?: boolean | undefined;
}

/** What calls a server, or in a cluster the node that has the slot. */
export type Caller = Pick<RedisClient, keyof RedisClient>;

/**
 * One socket to a server. Commands take effect in order. One that misses its deadline
 * fails alone: others go on, and its answer is passed over when it comes. If nothing at
 * all comes for as long as an operation may take, the socket is as good as lost.
 */
export class RedisClient implements AsyncDisposable {
  /** Settles once, when the socket has ended. Never rejects. */
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #dial: Dial;
  readonly #redis: Redis;
  readonly #watching: Watching;
  readonly #replication: Replication;
  readonly #limits: Limits;
  readonly #hungUp: Promise<void>;
  #failure: unknown;
  #reason: CloseReason | undefined;
  readonly #heartbeat: Heartbeat;
  /** Whether the server is to be asked to tell of changes of what scripts read. */
  watching = false;
  /** The scripts that the server has from us, by their names. */
  readonly #known = new Set<string>();

  private constructor(dial: Dial, timeout: number) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#dial = dial;
    this.#limits = new Limits(dial.clock);
    this.#heartbeat = new Heartbeat(dial.clock, dial.heartbeat, {
      ask: () => {
        this.#call(HEAR, undefined, () => this.#redis.ping()).catch(() => {});
      },
      onSilence: () => this.destroy(notAnswered(HEAR, "unknown")),
    });
    this.#redis = new Redis(redisOptions(dial, timeout));
    this.#watching = new Watching(this.#redis);
    this.#replication = new Replication(
      this,
      dial.clock,
      dial.silence,
      this.#limits,
    );
    guardAnswers(this.#redis, dial.maxResponseSize, (error) => {
      this.destroy(lostError(dial.broker, error));
    });
    // Without a listener the client prints errors, and throws them away.
    this.#redis.on("error", (error: unknown) => this.#failure ??= error);
    this.#hungUp = new Promise((hungUp) => this.#redis.on("end", hungUp));
    this.#redis.on("close", () => this.#end(this.#failure));
  }

  /**
   * Dials once. Nobody is logged in then.
   *
   * @throws {ConnectionError} If the server cannot be reached.
   * @throws {TimeoutError} If it does not answer by the deadline.
   */
  static async open(dial: Dial, options: CallOptions): Promise<RedisClient> {
    const { signal, clock } = { ...options, clock: dial.clock };
    const deadline = options.deadline ?? Infinity;
    const left = Math.min(deadline - clock.now(), 2 ** 31 - 1);
    const client = new RedisClient(dial, Math.max(1, Math.ceil(left)));
    const action = `connect to "${dial.broker}"`;
    const late = () =>
      dial.tls !== undefined && client.#redis.status === "connecting"
        ? noHandshake(action, dial.isNode)
        : notAnswered(action, "not-sent");
    try {
      await client.#limits.wait(client.#redis.connect(), options, late);
      if (client.#reason === undefined) client.#heartbeat.start();
      return client;
    } catch (error) {
      const failure = client.#failure ?? error;
      const isLate = /ETIMEDOUT/.test(String(failure));
      const cause = isLate ? late() : lostError(dial.broker, failure, true);
      await client[Symbol.asyncDispose]();
      if (signal?.aborted || error instanceof MessagingError) throw error;
      throw cause;
    }
  }

  /** Sends a command, and waits for its answer. */
  send(
    action: string,
    [name, ...args]: readonly [string, ...RedisArgument[]],
    options?: RunOptions,
  ): Promise<RedisReply> {
    return this.#call(
      action,
      options,
      // The client tells by their names in lower case which commands subscribe.
      () => this.#redis.callBuffer(name.toLowerCase(), args.map(asArgument)),
    );
  }

  /**
   * Sends a command that the server may refuse: users without the right to it, and servers
   * that lack it, are no reason not to go on.
   *
   * @returns The answer, or `undefined` where it was refused.
   */
  async ask(
    action: string,
    command: readonly [string, ...RedisArgument[]],
    options?: CallOptions,
  ): Promise<RedisReply | undefined> {
    try {
      return await this.send(action, command, options);
    } catch (error) {
      if (error instanceof NotNowError) throw error; // it says nothing of the command
      const isRefused = error instanceof AccessRefusedError ||
        (error instanceof ChannelError && error.code === "channel-closed");
      if (isRefused && this.#reason === undefined) return undefined;
      throw error;
    }
  }

  /** Puts texts in front of a list, and waits for the answer. */
  push(
    action: string,
    command: Push,
    options?: CallOptions,
  ): Promise<RedisReply> {
    return this.#call(
      action,
      options,
      () => Promise.resolve(this.#redis.sendCommand(command)),
    );
  }

  /**
   * Runs a script.
   *
   * @param watched The keys that it reads, and of which the server is to tell when they change.
   */
  run(
    action: string,
    script: Script,
    watched: readonly string[],
    args: readonly RedisArgument[],
    options?: RunOptions,
  ): Promise<RedisReply> {
    const keys = this.watching ? watched : [];
    const rest = args.map(asArgument);
    const place = options?.place === undefined ? [] : [options.place];
    const attempt = (command: "EVAL" | "EVALSHA", name: string) =>
      this.#watching.call(command, name, keys, rest, place);
    return this.#call(action, options, () => {
      // In whole at first, which needs no right to SCRIPT; what follows finds it there.
      if (!this.#known.has(script.sha)) {
        this.#known.add(script.sha);
        return attempt("EVAL", script.text);
      }
      return attempt("EVALSHA", script.sha).catch((error: unknown) => {
        // The server was told to forget its scripts, or the user may not name them.
        if (!/^NOSCRIPT|^NOPERM.*evalsha/i.test(errorText(error))) throw error;
        return attempt("EVAL", script.text);
      });
    });
  }

  /**
   * Waits until replicas have what was written so far.
   *
   * @throws {TimeoutError} If fewer have it by its deadline: perhaps it is lost.
   */
  async confirm(
    action: string,
    replicas: number,
    _key: string,
    options?: CallOptions,
  ): Promise<void> {
    await this.#replication.confirm(action, replicas, options);
  }

  /** Says whether any of some keys is there, and has the server tell when one of them changes. */
  async watch(action: string, keys: readonly string[]): Promise<boolean> {
    const count = await this.#call(action, undefined, () => {
      this.#watching.watchNext();
      return this.#redis.exists([...keys]);
    });
    return Number(count) > 0;
  }

  /** Sets the handlers of pushed messages. */
  listen(arrivals: Arrivals): void {
    listenTo(this.#redis, arrivals, () => this.#heartbeat.hear());
  }

  /** Who is at the other end of its socket. */
  get peer(): Peer | undefined {
    return peerOf(this.#redis.stream);
  }

  /** ioredis' own client. */
  get native(): Redis {
    return this.#redis;
  }

  /** Ends the socket, as if it had been lost. */
  destroy(error: Error): void {
    this.#end(error);
    this.#hangUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#settle({ type: "closed" });
    if (this.#redis.status === "wait") return;
    this.#hangUp();
    await this.#hungUp;
  }

  #hangUp(): void {
    const { status } = this.#redis;
    // Of a socket that has ended the client would wait for the end with a timer.
    if (status === "close" || status === "end") return;
    this.#redis.disconnect();
    // And it would wait for one that is silent.
    this.#redis.stream?.destroy();
  }

  #call(
    action: string,
    options: RunOptions | undefined,
    send: () => Promise<unknown>,
  ): Promise<RedisReply> {
    if (this.#reason !== undefined) return Promise.reject(this.#over(action));
    const refusal = this.#limits.refusal(options, action);
    if (refusal !== undefined) return Promise.reject(refusal);
    const since = this.#dial.clock.now();
    let isLate = false;
    const answer = send().then((reply) => {
      this.#heartbeat.hear();
      if (isLate) options?.late?.(reply as RedisReply);
      return reply as RedisReply;
    }, (error: unknown) => {
      // A refused PING is a sign of life, too.
      if (isReplyError(error)) this.#heartbeat.hear();
      throw this.#translate(action, error);
    });
    return this.#limits.wait(answer, options, () => {
      isLate = true;
      this.#suspect(since);
      return notAnswered(action, "unknown");
    });
  }

  /** Looks whether anything has come since a call that was not answered in time. */
  #suspect(since: number): void {
    const { clock, silence } = this.#dial;
    const judge = () => {
      if (this.#reason !== undefined || this.#heartbeat.lastHeard >= since) {
        return;
      }
      this.destroy(notAnswered(HEAR, "unknown"));
    };
    if (clock.now() >= since + silence) judge();
    else this.#limits.watchDeadline(since + silence, judge);
  }

  #translate(action: string, error: unknown): Error {
    if (this.#reason !== undefined) return this.#over(action);
    const text = errorText(error);
    if (isReplyError(error)) {
      const passing = this.#dial.isNode &&
        passingError(action, text, error);
      if (passing) return passing;
      if (!isLoss(text, this.#dial.isAlone)) {
        return replyError(action, text, error);
      }
      this.destroy(lostError(this.#dial.broker, error));
      return this.#over(action);
    }
    // The socket is gone, and "close" comes later.
    this.destroy(lostError(this.#dial.broker, this.#failure ?? error));
    return this.#over(action);
  }

  #over(action: string): Error {
    return this.#reason?.type === "lost"
      ? this.#reason.error
      : connectionClosed(action);
  }

  #end(failure: unknown): void {
    // A silent link is no error of a call: the connection was lost.
    const error = failure instanceof ConnectionError
      ? failure
      : lostError(this.#dial.broker, failure);
    this.#settle({ type: "lost", error });
  }

  #settle(reason: CloseReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#heartbeat.stop();
    this.#limits.end(() => this.#over("wait any longer"));
    this.#settleClosed(reason);
  }
}

/** Says what tells a message from others. */
export function digest(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex");
}

/** Makes a script of its text. */
export function toScript(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

function asArgument(argument: RedisArgument): string | number | Buffer {
  return argument instanceof Uint8Array
    ? Buffer.from(
      argument.buffer,
      argument.byteOffset,
      argument.byteLength,
    )
    : argument;
}
