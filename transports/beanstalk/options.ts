import { UnsupportedError } from "../../model/errors.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import {
  checkedOption,
  durationOption,
  type OptionReaders,
  readOptions,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";

/** The beanstalkd transport's own options, as `transportOptions` or in the URL. */
export interface BeanstalkTransportOptions {
  /**
   * How long beanstalkd lets a consumer that falls silent keep a message that was published
   * with it, ms, in whole seconds, 1 at least; in a URL `ttr`, seconds. @default {120_000}
   */
  readonly timeToRun?: number | undefined;
}

/** All that the store needs to know. */
export interface BeanstalkSettings {
  readonly hostname: string;
  readonly port: number;
  /** Bytes. */
  readonly maxResponseSize: number;
  /** Milliseconds. */
  readonly timeToRun: number;
}

/** How they are read. */
export const BEANSTALK_OPTIONS: OptionReaders<BeanstalkTransportOptions> = {
  timeToRun: checkedOption(
    durationOption("ttr"),
    (ms) => ms >= 1000,
    "a second or more",
  ),
};

/** Kombu's. */
const TIME_TO_RUN = 120_000;

/**
 * Reads a URL and the options.
 *
 * @param url The URL, its defaults filled in.
 * @param options The options.
 * @returns The settings of the store.
 * @throws {OptionError} If an option is unknown or bad.
 * @throws {UnsupportedError} If TLS is asked for, a login, or a virtual host: beanstalkd has none.
 */
export function readSettings(
  url: BrokerUrl,
  options: Pick<
    ConnectOptions,
    "tls" | "password" | "transportOptions" | "maxResponseSize"
  >,
): BeanstalkSettings {
  const { transportOptions, tls } = options;
  const own = readOptions<BeanstalkTransportOptions>(BEANSTALK_OPTIONS, {
    url,
    transportOptions,
  });
  if (tls !== undefined && tls !== false) throw none("TLS");
  if (url.username || url.password || options.password !== undefined) {
    throw none("users and passwords");
  }
  if (url.virtualHost && url.virtualHost !== "/") throw none("virtual hosts");
  return {
    hostname: url.hostname ?? "localhost",
    port: url.port ?? 11300,
    maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
    timeToRun: own.timeToRun ?? TIME_TO_RUN,
  };
}

function none(what: string): UnsupportedError {
  return new UnsupportedError(
    `Cannot connect to beanstalkd with ${what}: it knows none`,
  );
}
