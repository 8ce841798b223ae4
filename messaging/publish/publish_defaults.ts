import { MAX_WAIT } from "../../model/checks.ts";
import { OptionError } from "../../model/errors.ts";
import { checkDedupe } from "./dedupe.ts";
import { checkDuration, checkSignal } from "../operation_options.ts";
import {
  DEFAULTS,
  type ProducerOptions,
  type PublishDefaults,
  type PublishOptions,
} from "./producer_options.ts";
import { checkKey, checkRange } from "./publishing.ts";

/**
 * Takes out of a producer's options what holds for each message.
 *
 * @param options The options.
 * @returns The defaults; `undefined` where there are none, and a publish need not look.
 * @throws {RangeError} If a number is out of range.
 * @throws {OptionError} If the signal or the key is none.
 */
export function defaultsOf(
  options: ProducerOptions,
): PublishDefaults | undefined {
  const given: [string, unknown][] = [];
  for (const name of DEFAULTS) {
    if (options[name] !== undefined) given.push([name, options[name]]);
  }
  if (given.length === 0) return undefined;
  if (options.key !== undefined) checkKey(options.key);
  checkRange("priority", options.priority, 0, 255);
  checkRange("expiration", options.expiration, 0, MAX_WAIT);
  checkRange("delay", options.delay, 0, MAX_WAIT);
  checkSignal(options.signal);
  if (options.dedupe !== undefined) {
    checkDedupe(options.dedupe);
    if (options.dedupe.id !== undefined) {
      throw new OptionError(
        'Cannot give a producer the "id" of dedupe: each message has its own, its "messageId" by default',
      );
    }
  }
  if (options.timeout !== undefined) checkDuration("timeout", options.timeout);
  return Object.fromEntries(given);
}

/**
 * Adds a producer's defaults to the options of a publish, which win. Headers are added one
 * by one.
 *
 * @param defaults The defaults.
 * @param options The options of the publish.
 * @returns The options to publish with.
 * @throws {OptionError} If the publish was given no options but something else.
 */
export function withDefaults(
  defaults: PublishDefaults,
  options: PublishOptions,
): PublishOptions {
  if (typeof options !== "object" || options === null) {
    throw new OptionError(
      `Cannot use ${options} as the options of publish: they must be an object`,
    );
  }
  const own = Object.entries(options).filter(([, value]) =>
    value !== undefined
  );
  const { headers } = options;
  return {
    ...defaults,
    ...Object.fromEntries(own),
    ...(headers === undefined || defaults.headers === undefined
      ? {}
      : { headers: { ...defaults.headers, ...headers } }),
  };
}
