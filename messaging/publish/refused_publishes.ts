import type { Clock } from "../../async/clock.ts";
import {
  ChannelError,
  ClosedError,
  ConnectionError,
  MessagingError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { isLost } from "../connection/retry.ts";

/** How long a refusal is remembered, ms: a publish that is allowed meanwhile is found out anyway. */
const LIFE = 60_000;
/** So many are remembered at once. */
const MAX = 1000;

/**
 * Remembers what a broker has refused to publish. There a refusal ends the channel with
 * all that is in flight; so a publish like it goes out on another, where it may be refused
 * again, or accepted, without harm to anybody.
 */
export class RefusedPublishes {
  readonly #clock: Clock;
  /** When each is forgotten; the oldest first. */
  readonly #known = new Map<string, number>();
  /** The largest body that the broker takes, where it has said so. */
  #mostBytes = Infinity;

  /** Makes one that knows of none. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it knows of none. */
  get isEmpty(): boolean {
    return this.#known.size === 0;
  }

  /** Says whether a message is like one that was refused. */
  has(message: Publishing): boolean {
    const now = this.#clock.now();
    for (const [key, end] of this.#known) {
      if (end > now) break;
      this.#known.delete(key);
    }
    return keysOf(message, this.#mostBytes).some((key) => this.#known.has(key));
  }

  /** Hears why a message was not published. */
  add(message: Publishing, error: unknown): void {
    const key = this.#keyOf(message, error);
    if (key === undefined) return;
    this.#known.delete(key);
    this.#known.set(key, this.#clock.now() + LIFE);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX) break;
      this.#known.delete(oldest);
    }
  }

  /** Hears that a message was accepted. */
  forget(message: Publishing): void {
    for (const key of keysOf(message, this.#mostBytes)) this.#known.delete(key);
  }

  #keyOf(message: Publishing, error: unknown): string | undefined {
    if (!(error instanceof MessagingError)) return undefined;
    const { exchange, routingKey, properties: { userId } } = message;
    switch (error.code) {
      case "access-refused":
        return error.message.includes("access to topic")
          ? topicKey(exchange, routingKey)
          : exchangeKey(exchange);
      case "precondition-failed":
        return userId === undefined ? undefined : userKey(userId);
      case "message-too-large": {
        const most = /max(?:imum)? size (\d+)/.exec(error.message)?.[1];
        if (most === undefined) return undefined;
        this.#mostBytes = Number(most);
        return LARGE;
      }
    }
    return undefined;
  }
}

const LARGE = "large";
const exchangeKey = (exchange: string) => JSON.stringify([exchange]);
const topicKey = (exchange: string, routingKey: string) =>
  JSON.stringify([exchange, routingKey]);
const userKey = (userId: string) => `user ${userId}`;

/** All by which a message may be known. */
function keysOf(
  { exchange, routingKey, properties: { userId }, body }: Publishing,
  mostBytes: number,
): readonly string[] {
  const keys = [exchangeKey(exchange), topicKey(exchange, routingKey)];
  if (userId !== undefined) keys.push(userKey(userId));
  if (body.byteLength > mostBytes) keys.push(LARGE);
  return keys;
}

/**
 * Says whether a publish that failed may be done again.
 *
 * @param error Why it failed.
 * @returns Whether its connection or its channel was lost.
 */
export function isPassing(error: unknown): boolean {
  if (error instanceof ConnectionError) return isLost(error);
  if (error instanceof ChannelError) return error.code === "channel-closed";
  // The channel was closed under the call because its connection was lost.
  return error instanceof ClosedError;
}
