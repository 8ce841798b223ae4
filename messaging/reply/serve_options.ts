import { type KnownOptions, optionsOf } from "../known_options.ts";
import { RUN_OPTIONS, type RunOptions } from "../consume/run_options.ts";

/** The second argument of a handler of `consumer.serve`, beside the request. */
export interface ServeContext {
  /** Aborts when nobody waits for the answer any more, by the request's deadline, or when the message is no longer ours: its connection was lost. */
  readonly signal: AbortSignal;
  /** When nobody waits any more; `undefined` if the request does not say. */
  readonly deadline: Date | undefined;
}

/** Options of `consumer.serve`. @typeParam T The type of its messages' `payload`. */
export interface ServeOptions<T = unknown>
  extends Omit<RunOptions<T>, "inbox" | "inboxKey"> {
  /**
   * How to try a request again whose handler threw, before the error is the answer; what
   * fails for the last time is then parked, or what `onFailure` says. Without a policy the
   * first error is the answer, and the request is acked. @default {the error is the answer}
   */
  readonly retry?: RunOptions<T>["retry"];
  /** How answers are written: `"json"`, `"text"`, `"bytes"`, `"yaml"`, `"msgpack"`. @default {bytes for bytes, text for text, json for all else} */
  readonly serializer?: string | undefined;
  /** The compression of answers: `"gzip"`, `"brotli"`, `"zstd"`. @default {nothing} */
  readonly compression?: string | undefined;
}

const { inbox: _, inboxKey: _key, ...SERVED } = RUN_OPTIONS;

/** The known options of `serve`. */
export const SERVE: KnownOptions = optionsOf<ServeOptions>("serve", {
  ...SERVED,
  serializer: "string",
  compression: "string",
}, {
  attempts: '"attempts" of "retry"',
  maxAttempts: '"attempts" of "retry"',
  prefetch: 'an option of "connection.consumer"',
  timeout: 'an option of "connection.request"',
  inbox: 'an option of "run": who asks again waits for an answer',
});
