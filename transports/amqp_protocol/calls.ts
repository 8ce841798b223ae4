import type { Limits } from "../../async/limits.ts";
import { atNextTurn } from "../../async/turn.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  ClosedError,
  ConnectionError,
  SettlementError,
  type TimeoutError,
} from "../../model/errors.ts";
import { notAnswered } from "../connection_errors.ts";
import type { CloseReason } from "../transport.ts";
import { channelError, isUnsent } from "./errors.ts";
import { describe } from "./failure.ts";

/** Makes a call that the broker answers, within its limits. */
export type Call = <T>(
  action: string,
  options: CallOptions | undefined,
  call: () => Promise<T>,
) => Promise<T>;

/** The services that calls use of their channel. */
export interface CallsHost {
  readonly limits: Limits;
  /** Sends what is still held back, so that it does not come behind the call. */
  flush(): void;
  /** The broker owes an answer. */
  onLate(error: TimeoutError): void;
}

/** The calls of a channel, which end with it. */
export class Calls {
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  /** Rejects when the channel ends: what every call waits for too. */
  readonly #ended: Promise<never>;
  readonly #rejectEnded: (error: Error) => void;
  readonly #host: CallsHost;
  #endError: Error | undefined;

  /** Makes those of a channel that is open. */
  constructor(host: CallsHost) {
    const closed = Promise.withResolvers<CloseReason>();
    this.closed = closed.promise;
    this.#settleClosed = closed.resolve;
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => {});
    this.#ended = ended.promise;
    this.#rejectEnded = ended.reject;
    this.#host = host;
  }

  /** The error of what waits since the channel has ended. */
  get endError(): Error | undefined {
    return this.#endError;
  }

  /** Ends them: the channel has ended. */
  end(error: Error): void {
    this.#endError = error;
  }

  /** Says so to who waits, when the channel's own parts know it. */
  tell(error: Error, reason: CloseReason): void {
    this.#settleClosed(reason);
    // A turn later: the call whose fault it was hears it from the broker first.
    atNextTurn(() => this.#rejectEnded(error));
  }

  /** Makes a call that the broker answers, within its limits, and translates its errors. */
  readonly call: Call = async (action, options, call) => {
    this.check(options, () => action);
    const { flush, limits, onLate } = this.#host;
    flush();
    const answer = this.#translated(action, call);
    answer.catch(() => {});
    let late: TimeoutError | undefined;
    try {
      return await limits.wait(
        Promise.race([answer, this.#ended]),
        options,
        () => late = notAnswered(action, "unknown"),
      );
    } catch (error) {
      if (late !== undefined) onLate(late);
      throw error;
    }
  };

  /** @throws {MessagingError} If the channel has ended, or a limit of the call is over. */
  check(options: CallOptions | undefined, action: () => string): void {
    if (this.#endError !== undefined) {
      throw this.#endError instanceof ClosedError
        ? new ClosedError(`Cannot ${action()}: the channel is closed`)
        : new ChannelError(
          `Cannot ${action()}: the channel has ended (${this.#endError.message})`,
          {
            code: "channel-closed",
            outcome: "not-sent",
            cause: this.#endError,
          },
        );
    }
    this.#host.limits.check(options, action);
  }

  /** Says why a delivery cannot be settled. */
  refuseSettling(options: CallOptions | undefined): unknown {
    if (this.#endError === undefined) {
      return options?.fresh
        ? undefined
        : this.#host.limits.refusal(options, "settle a delivery");
    }
    return new SettlementError(
      "Cannot settle a delivery: its channel has ended, and it is delivered again",
      { code: "message-settled", cause: this.#endError },
    );
  }

  async #translated<T>(action: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      const ended = this.#endError;
      // The client may say no more than that its channel is gone.
      if (ended instanceof ClosedError || ended instanceof ConnectionError) {
        throw ended;
      }
      if (isUnsent(error)) throw error;
      throw channelError(action, describe(error));
    }
  }
}
