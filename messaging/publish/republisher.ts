import { Sieve } from "../../async/sieve.ts";
import { turn } from "../../async/turn.ts";
import {
  ChannelError,
  ConnectionError,
  TimeoutError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Channel, PublishOutcome } from "../../transports/transport.ts";
import type { Call } from "../operation_options.ts";
import type { Session } from "../connection/session.ts";

interface Suspect {
  readonly message: Publishing;
  readonly call: Call;
  readonly resolve: (outcome: PublishOutcome) => void;
  readonly reject: (error: unknown) => void;
  /** Nobody waits for it any more. */
  isGone: boolean;
}

/**
 * Publishes messages that were in flight on a channel that has failed, on one of its own: any of
 * these messages may have been the culprit, and later publishes must not
 * suffer for it again. Together at first, then in halves, so that at last only culprits
 * reject, with what the broker says of them.
 */
export class Republisher {
  readonly #session: Session;
  readonly #sieve: Sieve<Suspect>;
  #channel: Channel | undefined;

  /** Makes one without suspects. */
  constructor(session: Session) {
    this.#session = session;
    this.#sieve = new Sieve(
      (suspects) => this.#attempt(suspects),
      () => this.#close(),
    );
  }

  /** Publishes one, when its turn has come. */
  async publish(message: Publishing, call: Call): Promise<PublishOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<
      PublishOutcome
    >();
    promise.catch(() => {});
    const suspect: Suspect = { message, call, resolve, reject, isGone: false };
    this.#sieve.add(suspect);
    try {
      return await this.#session.limits.wait(
        promise,
        call,
        () =>
          new TimeoutError(
            "Cannot publish in time: the broker has not answered",
            { outcome: "unknown" },
          ),
      );
    } finally {
      suspect.isGone = true;
    }
  }

  async #attempt(all: readonly Suspect[]): Promise<readonly Suspect[]> {
    const suspects = all.filter(({ isGone }) => !isGone);
    if (suspects.length === 0) return [];
    const left = new Map<Suspect, ChannelError>();
    let channel: Channel;
    try {
      channel = await this.#open();
    } catch (error) {
      for (const { reject } of suspects) reject(error);
      return [];
    }
    await Promise.all(
      suspects.map((suspect) =>
        channel.publish(suspect.message, suspect.call).then(
          suspect.resolve,
          (error) => {
            const isOpen = error instanceof ChannelError &&
              error.code === "channel-closed";
            if (isOpen) left.set(suspect, error);
            else suspect.reject(error);
          },
        )
      ),
    );
    if (left.size === 0) return [];
    // A channel that has ended says so in the same turn.
    const reason = await Promise.race([channel.closed, turn()]);
    if (reason?.type === "lost" && !(reason.error instanceof ConnectionError)) {
      if (suspects.length > 1) return suspects.filter((each) => left.has(each));
      // It was alone on the channel: what ended that is its own error.
      suspects[0]?.reject(reason.error);
      return [];
    }
    // It was the connection that was lost, or each failed by itself.
    for (const [{ reject }, error] of left) {
      reject(reason?.type === "lost" ? reason.error : error);
    }
    return [];
  }

  /** Shared by all callers that wait for it: by the session's limits. */
  async #open(): Promise<Channel> {
    if (this.#channel !== undefined) return this.#channel;
    const call = this.#session.call();
    const { connection } = await this.#session.link(call);
    const channel = await connection.openChannel({ ...call, use: "publish" });
    this.#channel = channel;
    channel.closed.then(() => {
      if (this.#channel === channel) this.#channel = undefined;
    });
    return channel;
  }

  async #close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.[Symbol.asyncDispose]();
  }
}
