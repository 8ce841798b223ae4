import type { Clock } from "../../async/clock.ts";
import { pause } from "../../async/pause.ts";
import type { ReceivedMessage } from "./message.ts";
import { RateLimit, type RateLimitOptions } from "./rate_limit.ts";
import { WaitingRoom } from "./waiting_room.ts";

/** The source of the messages, as their runner has it. */
export interface PaceHost {
  readonly clock: Clock;
  /** Whether no more messages come. */
  hasEnded(): boolean;
  /** Calls back when no more messages come; returns the way to call it off. */
  onEnd(callback: () => void): () => void;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
}

/** The calls of handlers, as their runner makes them. */
export interface PaceCalls<T> {
  /** Resolves when a handler may be called; `undefined` if one may be now. */
  place(): Promise<void> | undefined;
  /** Calls the handler. */
  begin(message: ReceivedMessage<T>): void;
  /** A message that waited is no longer ours, and is delivered again. */
  gone(message: ReceivedMessage<T>): void;
  /** Sees to a message whose group cannot be told, as to one whose handler has failed. */
  failed(message: ReceivedMessage<T>, error: unknown): void;
}

/** How often a runner may begin with a message, for all of them or for each group. */
export class Pace<T> {
  readonly #limit: RateLimit<T>;
  readonly #host: PaceHost;
  readonly #calls: PaceCalls<T>;
  /** The room of messages whose group has reached the limit; none without groups. */
  readonly #room: WaitingRoom<T> | undefined;

  /** Makes one that has counted nothing. */
  constructor(
    options: RateLimitOptions<T>,
    host: PaceHost,
    calls: PaceCalls<T>,
  ) {
    this.#host = host;
    this.#calls = calls;
    this.#limit = new RateLimit(options, host.clock);
    this.#room = this.#limit.isKeyed
      ? new WaitingRoom(this.#limit, {
        hasEnded: () => host.hasEnded(),
        rest: (delay) => rest(host, delay),
        place: () => calls.place(),
        begin: (message) => calls.begin(message),
        gone: (message) => calls.gone(message),
        want: (count) => host.want(count),
      })
      : undefined;
  }

  /** Resolves when a message may be taken; `undefined` if one may be now, and with groups, for only a message in hand tells its group. */
  beforeTaking(): Promise<void> | undefined {
    return this.#room === undefined && this.#delay("") > 0
      ? this.#untilAllowed("")
      : undefined;
  }

  /** Counts a message that could begin now, unless it waits for its group, or has failed for it. */
  mustWait(message: ReceivedMessage<T>): boolean {
    let key;
    try {
      key = this.#limit.keyOf(message);
    } catch (error) {
      this.#calls.failed(message, error);
      return true;
    }
    if (this.#room?.mustWait(key)) {
      this.#room.add(key, message);
      return true;
    }
    this.#limit.note(key);
    return false;
  }

  /** A message that is not begun with like others waits in its place, and is counted. Never rejects. */
  async untilCounted(message: ReceivedMessage<T>): Promise<void> {
    let key;
    try {
      key = this.#limit.keyOf(message);
    } catch {
      return; // its handler is called all the same
    }
    await this.#untilAllowed(key);
    this.#limit.note(key);
  }

  /** Takes all messages that wait for their group. */
  clear(): ReceivedMessage<T>[] {
    return this.#room?.clear() ?? [];
  }

  async #untilAllowed(key: string): Promise<void> {
    let delay;
    while ((delay = this.#delay(key)) > 0) await rest(this.#host, delay);
  }

  #delay(key: string): number {
    return this.#host.hasEnded() ? 0 : this.#limit.delay(key);
  }
}

/**
 * Waits, or until no more messages come.
 *
 * @param host The source of the messages.
 * @param delay Milliseconds.
 * @returns Resolves then. Never rejects.
 */
export function rest(host: PaceHost, delay: number): Promise<void> {
  if (host.hasEnded()) return Promise.resolve();
  return pause(host.clock, delay, (callback) => host.onEnd(callback));
}
