import type { Clock } from "../../async/clock.ts";
import { mostSilence, Silence } from "../../async/silence.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  AuthenticationError,
  ConnectionError,
  MessagingError,
} from "../../model/errors.ts";
import { hideSecrets } from "../../model/secrets.ts";
import {
  connectionClosed,
  lostBefore,
  notAnswered,
} from "../connection_errors.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { CredentialSource } from "./credentials.ts";
import {
  failureOf,
  hasCorrectedClock,
  isExpired,
  requestError,
} from "./errors.ts";

/** The services and settings that requests have from their connection. */
export interface RequestSettings {
  readonly clock: Clock;
  readonly lifeline: Lifeline;
  readonly operationTimeout: number;
  /** Milliseconds between signs of life; 0 turns them off. */
  readonly heartbeat: number;
}

/** The limits of a request. */
export interface RequestOptions extends CallOptions {
  /** Milliseconds that AWS may take by itself: it waits for messages. */
  readonly wait?: number | undefined;
}

/** Sends requests within their limits, and says in the library's words how they failed. */
export class Requests {
  /** Whether it was dialled: from then on a failure may be a loss. */
  isOpen = false;
  readonly #settings: RequestSettings;
  readonly #silence: Silence;
  readonly #running = new Set<(reason: Error) => void>();
  /** Why nothing is sent any more. */
  #ended: ((action: string) => Error) | undefined;

  /** Makes one that has sent nothing yet. */
  constructor(settings: RequestSettings) {
    this.#settings = settings;
    const { clock, heartbeat, operationTimeout } = settings;
    this.#silence = new Silence(
      clock,
      mostSilence(heartbeat, operationTimeout),
    );
  }

  /**
   * Sends a request. Without a deadline it has the connection's `operationTimeout`. If AWS
   * says that the credentials have expired, it is sent once more, with new ones; and if
   * this machine's clock was wrong, with the time that AWS has told.
   */
  async run<O>(
    action: string,
    request: (abortSignal: AbortSignal) => Promise<O>,
    options: RequestOptions,
    credentials: CredentialSource | undefined,
  ): Promise<O> {
    const { clock, lifeline, operationTimeout } = this.#settings;
    const limits = {
      signal: options.signal,
      deadline: options.deadline ?? clock.now() + operationTimeout,
      wait: options.wait,
    };
    for (let attempt = 0;; attempt++) {
      lifeline.limits.check(limits, () => action);
      if (this.#ended !== undefined) throw this.#ended(action);
      try {
        return await this.#once(action, request, limits);
      } catch (error) {
        if (error instanceof Stopped) throw this.#heed(action, error);
        if (error instanceof MessagingError) throw error;
        // An answer may repeat parts of its request: the token is in a header.
        hideSecrets(error, credentials?.secrets ?? [], "");
        const failure = failureOf(error);
        if (failure.status !== undefined) this.#silence.end();
        if (isExpired(failure) && credentials !== undefined && attempt === 0) {
          credentials.forget();
          continue;
        }
        if (hasCorrectedClock(error) && attempt === 0) continue;
        const translated = requestError(action, failure);
        if (!(translated instanceof ConnectionError)) throw translated;
        throw this.#lose(translated);
      }
    }
  }

  /** Ends pending requests: they reject with `use-after-close`, or with the error of the loss. */
  close(lost?: Error): void {
    this.#ended ??= lost === undefined
      ? connectionClosed
      : (action) => lostBefore(action, { cause: lost });
    // Others may have left, even where the one that failed had not.
    const reason = lost === undefined
      ? connectionClosed("go on")
      : new ConnectionError(lost.message, {
        code: "connection-lost",
        cause: lost,
        outcome: "unknown",
      });
    for (const stop of this.#running) stop(reason);
  }

  /** Tells of a loss, and says what of it a request tells; while it is dialled nothing is lost. */
  #lose(error: ConnectionError): ConnectionError {
    if (!this.isOpen) return error;
    // The key has worked before: with the next connection it may again.
    const lost = error instanceof AuthenticationError && !error.retryable
      ? new ConnectionError(error.message, {
        code: "connection-lost",
        cause: error.cause,
        outcome: "not-sent",
      })
      : error;
    this.#settings.lifeline.lose(lost);
    return lost;
  }

  /** After a request that was given up, it may be that no request gets an answer any more. */
  #heed(action: string, { reason, isSilence }: Stopped): unknown {
    if (!isSilence && !this.#silence.isTooLong) return reason;
    const lost = new ConnectionError(
      `Connection to SQS was lost: AWS was silent for ${
        Math.round(this.#silence.most)
      } ms when it was to ${action}`,
      { code: "connection-lost", outcome: "unknown" },
    );
    this.#settings.lifeline.lose(lost);
    return isSilence ? lost : reason;
  }

  #once<O>(
    action: string,
    request: (abortSignal: AbortSignal) => Promise<O>,
    { signal, deadline = Infinity, wait }: RequestOptions,
  ): Promise<O> {
    return new Promise((resolve, reject) => {
      const controller = new AbortController();
      const stop = (reason: unknown, isSilence = false) => {
        done();
        controller.abort();
        reject(new Stopped(reason, isSilence));
      };
      const done = () => {
        unwatch();
        this.#running.delete(stop);
      };
      const due = this.#silence.ask(wait);
      const limits = { signal, deadline: Math.min(deadline, due) };
      const unwatch = this.#settings.lifeline.limits.watch(
        limits,
        (stopped) => {
          if (stopped !== undefined) stop(stopped.aborted);
          else stop(notAnswered(action, "unknown", "AWS"), due < deadline);
        },
      );
      this.#running.add(stop);
      request(controller.signal).then(
        (answer) => {
          this.#silence.end();
          done();
          resolve(answer);
        },
        (error) => {
          done();
          reject(error);
        },
      );
    });
  }
}

/** Carries the reason of a caller or a deadline, of any type. */
class Stopped {
  readonly reason: unknown;
  /** Whether nobody said anything, AWS neither. */
  readonly isSilence: boolean;

  constructor(reason: unknown, isSilence: boolean) {
    this.reason = reason;
    this.isSilence = isSilence;
  }
}

/**
 * Takes a text that AWS always gives.
 *
 * @param value The text.
 * @returns The text.
 */
export function text(value: string | undefined): string {
  if (value !== undefined) return value;
  throw new ConnectionError(
    "Cannot read AWS's answer: a part of it is missing",
    {
      code: "connection-failed",
      retryable: false,
    },
  );
}
