import {
  OptionError,
  PublishAllError,
  type PublishFailure,
} from "../../model/errors.ts";
import { asError, errorText } from "../../model/error_text.ts";
import { withOwnCause } from "../../model/foreign_error.ts";
import { quote } from "../../model/foreign_text.ts";
import { type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkSignal } from "../operation_options.ts";
import type { Published, PublishOptions } from "./producer_options.ts";

/** Options of {@linkcode Producer.publishAll}. @typeParam T The type of the payloads. */
export interface PublishAllOptions<T = unknown> {
  /** The options that each is published with, or a function of the payload and of how many came before it. */
  readonly each?:
    | PublishOptions
    | ((payload: T, index: number) => PublishOptions)
    | undefined;
  /** When so many have failed, no further payload is begun with; those on their way then may add to them. @default {1000} */
  readonly maxFailures?: number | undefined;
  /** When it aborts, no further payload is begun with, and those that wait for the broker fail. */
  readonly signal?: AbortSignal | undefined;
}

/** The result of publishing payloads. @typeParam T The type of the payloads. */
export interface PublishedAll<T = unknown> {
  /** How many the broker has: all that were begun with, but for `failed`. */
  readonly published: number;
  /** How many of those were published with `dedupe`, and are put nowhere, for another has published the same. */
  readonly duplicates: number;
  /** The others, in order. */
  readonly failed: readonly PublishFailure<T>[];
  /** Whether all were begun with: it has not come to `maxFailures`, nor was it aborted. */
  readonly complete: boolean;
}

/** The known options of `publishAll`. */
export const PUBLISH_ALL: KnownOptions = optionsOf<PublishAllOptions>(
  "publishAll",
  { each: "object|function", maxFailures: true, signal: true },
  Object.fromEntries(
    [
      "exchange",
      "routingKey",
      "key",
      "headers",
      "priority",
      "delay",
      "expiration",
      "dedupe",
    ]
      .map((name) => [name, `"each: { ${name} }"`]),
  ),
);

/** The services that {@linkcode publishAll} uses. */
export interface AllHost<T> {
  /** Publishes one; says of one with `dedupe` whether it was a duplicate. */
  publish(
    payload: T,
    options: PublishOptions,
  ): Promise<void | Published>;
  /** Resolves when a further message would not have to wait for its turn. */
  ready(): Promise<void>;
}

/**
 * Publishes payloads, in order, and begins with no more than there is room for.
 *
 * @typeParam T The type of the payloads.
 * @param payloads The payloads.
 * @param options How.
 * @param host The services of the producer.
 * @returns The result of each.
 * @throws {TypeError} If there is nothing to go through.
 * @throws {PublishAllError} If iterating over them throws, once the publishes that were begun have been answered.
 */
export async function publishAll<T>(
  payloads: Iterable<T> | AsyncIterable<T>,
  { each, maxFailures = 1000, signal }: PublishAllOptions<T>,
  host: AllHost<T>,
): Promise<PublishedAll<T>> {
  checkPayloads(payloads);
  checkCount("maxFailures", maxFailures, Number.MAX_SAFE_INTEGER);
  checkSignal(signal);
  const optionsFor = perPayload(each, signal);
  const failed: PublishFailure<T>[] = [];
  let [index, published, duplicates] = [0, 0, 0];
  let [waiting, complete] = [0, true];
  let idle: (() => void) | undefined;
  const answered = () => {
    if (--waiting === 0) idle?.();
  };
  const fail = (payload: T, index: number, error: unknown) =>
    void failed.push({ index, payload, error: asError(error) });
  const begin = (payload: T, index: number) => {
    let options: PublishOptions;
    try {
      options = optionsFor(payload, index);
    } catch (error) {
      return fail(payload, index, error);
    }
    waiting++;
    host.publish(payload, options).then(
      (told) => {
        published++;
        if (typeof told === "object" && told.duplicate) duplicates++;
      },
      (error) => fail(payload, index, error),
    ).then(answered);
  };
  const allAnswered = async () => {
    if (waiting > 0) await new Promise<void>((resolve) => idle = resolve);
    failed.sort((a, b) => a.index - b.index);
  };
  const source = signal === undefined
    ? payloads
    : untilAborted(payloads, signal, () => complete = false);
  try {
    for await (const payload of source) {
      await host.ready();
      if (signal?.aborted || failed.length >= maxFailures) {
        complete = false;
        break;
      }
      begin(payload, index++);
    }
  } catch (cause) {
    await allAnswered();
    const told = { published, duplicates, failed };
    throw withOwnCause(new PublishAllError(thrown(cause, told), told), cause);
  }
  await allAnswered();
  return { published, duplicates, failed, complete };
}

/** Goes through a source; where it waits when the signal aborts, nobody waits for it. */
async function* untilAborted<T>(
  source: Iterable<T> | AsyncIterable<T>,
  signal: AbortSignal,
  onAborted: () => void,
): AsyncGenerator<T, undefined> {
  const iterator: Iterator<T> | AsyncIterator<T> =
    Symbol.asyncIterator in source
      ? source[Symbol.asyncIterator]()
      : source[Symbol.iterator]();
  let stop = () => {};
  const onAbort = () => stop();
  signal.addEventListener("abort", onAbort);
  let isOver = false;
  try {
    while (!signal.aborted) {
      const next = await new Promise<IteratorResult<T> | undefined>(
        (resolve, reject) => {
          stop = () => resolve(undefined);
          Promise.resolve(iterator.next()).then(resolve, reject);
        },
      );
      if (next === undefined) break;
      isOver = next.done === true;
      if (next.done) return;
      yield await next.value;
    }
    onAborted();
  } catch (error) {
    isOver = true;
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!isOver) {
      const ending = Promise.resolve(iterator.return?.());
      // A source that still waits does not end either.
      if (signal.aborted) ending.catch(() => {});
      else await ending;
    }
  }
}

function thrown(
  cause: unknown,
  { published, failed }: Pick<PublishedAll, "published" | "failed">,
): string {
  return `Cannot publish all: their source has thrown after ${
    published + failed.length
  }, of which ${published} are published: ${errorText(cause)}`;
}

function perPayload<T>(
  each: PublishAllOptions<T>["each"],
  signal: AbortSignal | undefined,
): (payload: T, index: number) => PublishOptions {
  const with_ = (options: PublishOptions = {}) => {
    if (options instanceof Promise) throw promised();
    const isWhole = signal === undefined || options?.signal !== undefined;
    return isWhole || options === null ? options : { ...options, signal };
  };
  if (typeof each === "function") {
    return (payload, index) => with_(each(payload, index));
  }
  if (each?.messageId !== undefined) {
    throw new OptionError(
      `Cannot publish all of them under one "messageId": give "each" as a function of the payload`,
    );
  }
  const same = with_(each ?? {});
  return () => same;
}

function promised(): OptionError {
  return new OptionError(
    'Cannot publish with a promise of options: "each" of publishAll must return them at once',
  );
}

function checkPayloads(payloads: unknown): void {
  const isList = typeof payloads === "object" && payloads !== null &&
    (Symbol.iterator in payloads || Symbol.asyncIterator in payloads);
  if (isList) return;
  throw new TypeError(
    `Cannot publish all of ${
      quote(payloads)
    }: it must be a list, or what for await goes through; publish() takes one payload`,
  );
}
