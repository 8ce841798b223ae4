import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { MAX_RESPONSE } from "../../model/response_limit.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatHost } from "../../url/format.ts";
import {
  booleanOption,
  durationOption,
  integerOption,
  type OptionReader,
  type OptionReaders,
  readOptions,
  stringOption,
  wordOption,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";
import { CREDENTIALS, readCredentials } from "./credential_options.ts";
import type { SqsCredentials, SqsCredentialsFunction } from "./credentials.ts";
import { isAwsHost, regionOf } from "./hosts.ts";
import {
  PREDEFINED,
  type PredefinedQueue,
  type SqsAccess,
  type SqsPredefinedQueue,
  withAccess,
} from "./predefined.ts";

/** The SQS transport's own options, as `transportOptions` or in the URL. */
export interface SqsTransportOptions {
  /** AWS's region; in a URL `region`. @default {the endpoint's, or "us-east-1"} */
  readonly region?: string | undefined;
  /** The endpoint of SQS, instead of the URL's host: `https://…`; in a URL `endpoint`. */
  readonly endpoint?: string | undefined;
  /** The endpoint of SNS; in a URL `sns_endpoint`. @default {where SQS is, or AWS's own} */
  readonly snsEndpoint?: string | undefined;
  /** Whether the URL's host is spoken to by HTTPS; in a URL `is_secure`. @default {true for hosts of AWS, else false, as Kombu has it} */
  readonly isSecure?: boolean | undefined;
  /**
   * The credentials that requests are signed with, if the URL has none: credentials, a
   * function that is asked for them and asked again before they expire, or `"default"` for
   * the SDK's own search through environment variables, files and AWS's services.
   */
  readonly credentials?:
    | SqsCredentials
    | SqsCredentialsFunction
    | "default"
    | undefined;
  /** Goes with the URL's credentials; in a URL `session_token`. */
  readonly sessionToken?: string | undefined;
  /** How long a receive waits for a message, ms, in whole seconds up to 20; in a URL `wait_time_seconds`. @default {20_000} */
  readonly waitTime?: number | undefined;
  /**
   * How long a `get` waits, ms, in whole seconds; in a URL `get_wait_time_seconds`. With 0 it
   * looks at some of SQS's servers only, and may find nothing where there is something. @default {1000}
   */
  readonly getWaitTime?: number | undefined;
  /**
   * Given to new queues, ms, in whole seconds; in a URL `visibility_timeout`, seconds. A message
   * that is received here is held for a minute at a time, or for this where it is given, and
   * renewed. @default {1_800_000}
   */
  readonly visibilityTimeout?: number | undefined;
  /** Stands before the name of each queue and exchange; in a URL `queue_name_prefix`. @default {""} */
  readonly queueNamePrefix?: string | undefined;
  /**
   * Queues that are there, name to URL, or to an object where one has a region or
   * credentials of its own: no other is used, and none is looked for, made or deleted.
   */
  readonly predefinedQueues?:
    | Readonly<Record<string, string | SqsPredefinedQueue>>
    | undefined;
  /** How a fanout exchange reaches its queues: `sns`, by a topic of SNS, or `queue`, by the bindings of this connection. In a URL `fanout`. @default {"sns"} */
  readonly fanout?: "sns" | "queue" | undefined;
  /** Whether messages are written as base64, as Kombu does; in a URL `sqs_base64_encoding`. @default {true} */
  readonly base64Encoding?: boolean | undefined;
  /** The largest message as it is sent, bytes; in a URL `max_message_size`. @default {262_144} */
  readonly maxMessageSize?: number | undefined;
  /** More attributes for new queues, such as `KmsMasterKeyId` or `RedrivePolicy`; Kombu's `sqs-creation-attributes`. */
  readonly queueAttributes?: Readonly<Record<string, string>> | undefined;
  /** Tags for new queues. */
  readonly queueTags?: Readonly<Record<string, string>> | undefined;
}

/** All that the store and its client need, with defaults filled in. */
export interface SqsSettings {
  /** How the connection itself reaches AWS. */
  readonly access: SqsAccess;
  readonly snsEndpoint: string | undefined;
  readonly tls: TlsOptions | undefined;
  readonly waitTime: number;
  readonly getWaitTime: number;
  /** Given to new queues, ms. */
  readonly visibilityTimeout: number;
  /** How long a received message is held without being renewed, ms. */
  readonly lease: number;
  readonly queueNamePrefix: string;
  readonly predefinedQueues: ReadonlyMap<string, PredefinedQueue> | undefined;
  readonly fanout: "sns" | "queue";
  readonly base64Encoding: boolean;
  readonly maxMessageSize: number;
  /** The maximum number of bytes of an answer of AWS's. */
  readonly maxResponseSize: number;
  readonly queueAttributes: Readonly<Record<string, string>>;
  readonly queueTags: Readonly<Record<string, string>> | undefined;
}

/** The options as they are read. */
export interface GivenOptions
  extends Omit<SqsTransportOptions, "predefinedQueues"> {
  readonly predefinedQueues?:
    | Readonly<Record<string, SqsPredefinedQueue>>
    | undefined;
}

/** The maximum size of one message and of a batch that every queue and every topic takes: AWS's of old, and the stand-ins'. */
export const MESSAGE_BYTES = 262_144;

/** How long a message is held by default without being renewed, ms. */
const LEASE = 60_000;

/** The maximum size that AWS's queues take since August 2025, unless they are set otherwise. */
const MAX_MESSAGE_BYTES = 1_048_576;

/**
 * Reads a URL and the options into what the store needs.
 *
 * @param url The URL.
 * @param options The options.
 * @returns The settings.
 * @throws {OptionError} If an option is unknown or bad, or there are no credentials.
 */
export function readSettings(
  url: BrokerUrl,
  options: Pick<
    ConnectOptions,
    "tls" | "password" | "transportOptions" | "maxResponseSize"
  >,
): SqsSettings {
  const { transportOptions } = options;
  const given = readOptions<GivenOptions>(SQS_OPTIONS, {
    url,
    transportOptions,
  });
  checkTls(given, options.tls);
  const endpoint = given.endpoint ??
    endpointOf(url, given.isSecure ?? options.tls);
  const queues = given.predefinedQueues;
  const credentials = readCredentials(url, {
    credentials: given.credentials,
    sessionToken: given.sessionToken,
    password: options.password,
    neededBy: neededBy(queues),
  });
  const region = given.region ?? regionOf(endpoint) ??
    (credentials === undefined ? undefined : "us-east-1");
  const access = { region, endpoint, credentials };
  const aws = endpoint !== undefined && isAwsHost(new URL(endpoint).hostname);
  return {
    access,
    // AWS serves SNS at another host than SQS.
    snsEndpoint: given.snsEndpoint ?? (aws ? undefined : endpoint),
    tls: typeof options.tls === "object" ? options.tls : undefined,
    waitTime: given.waitTime ?? 20_000,
    getWaitTime: given.getWaitTime ?? 1000,
    visibilityTimeout: given.visibilityTimeout ?? 1_800_000,
    lease: given.visibilityTimeout ?? LEASE,
    queueNamePrefix: given.queueNamePrefix ?? "",
    predefinedQueues: queues === undefined
      ? undefined
      : withAccess(queues, access),
    fanout: given.fanout ?? "sns",
    base64Encoding: given.base64Encoding ?? true,
    maxMessageSize: given.maxMessageSize ?? MESSAGE_BYTES,
    maxResponseSize: options.maxResponseSize ?? MAX_RESPONSE,
    queueAttributes: given.queueAttributes ?? {},
    queueTags: given.queueTags,
  };
}

/** Refuses that one place says TLS and another says none: nothing is sent in plaintext by a guess. */
function checkTls(
  { isSecure, endpoint, snsEndpoint, predefinedQueues = {} }: GivenOptions,
  tls: boolean | TlsOptions | undefined,
): void {
  const byUrl = (place: string | undefined) =>
    place === undefined ? undefined : new URL(place).protocol === "https:";
  const words: readonly Word[] = [
    [
      'the option "tls", or "ssl" in the URL,',
      tls === undefined ? undefined : tls !== false,
    ],
    ['"isSecure"', isSecure],
  ];
  const places: readonly Word[] = [
    ['"endpoint"', byUrl(endpoint)],
    ['"snsEndpoint"', byUrl(snsEndpoint)],
    ...Object.entries(predefinedQueues).map(([name, { url }]): Word => [
      `the URL of queue ${quote(name)}`,
      byUrl(url),
    ]),
  ];
  for (const [name, word] of words) {
    if (word === undefined) continue;
    const other = [...words, ...places].find(([, each]) => each === !word);
    if (other === undefined) continue;
    throw new OptionError(
      `Cannot tell whether to speak TLS: ${name} says ${
        word ? "yes" : "no"
      } and ${other[0]} says ${word ? "no" : "yes"}; let both say the same`,
    );
  }
}

/** A setting that says whether TLS is spoken: its name, and its value. */
type Word = readonly [string, boolean | undefined];

/** For what credentials of the connection's own are needed; `undefined` if for nothing. */
function neededBy(
  queues: GivenOptions["predefinedQueues"],
): string | undefined {
  const all = Object.entries(queues ?? {});
  if (all.length === 0) return "SQS";
  const queue = all.find(([, { credentials }]) => credentials === undefined);
  return queue === undefined ? undefined : `queue "${queue[0]}"`;
}

function endpointOf(
  { hostname, port }: BrokerUrl,
  secure: boolean | TlsOptions | undefined,
): string | undefined {
  if (hostname === undefined) return undefined;
  const tls = secure ?? isAwsHost(hostname);
  return `http${tls === false ? "" : "s"}://${formatHost(hostname, port)}`;
}

/** A duration in whole seconds: SQS knows no others. */
function secondsOption(
  urlName: string,
  least: number,
  most: number,
): OptionReader<number> {
  const duration = durationOption(urlName);
  const check = (name: string, value: number): number => {
    const seconds = value / 1000;
    if (Number.isInteger(seconds) && seconds >= least && seconds <= most) {
      return value;
    }
    throw new OptionError(
      `Cannot use ${seconds} seconds as "${name}": it must be a whole number of seconds from ${least} to ${most}`,
    );
  };
  return {
    urlName,
    fromUrl: (name, value) => check(name, duration.fromUrl?.(name, value) ?? 0),
    fromObject: (name, value) => check(name, duration.fromObject(name, value)),
  };
}

/** As Kombu, which cuts off what is not whole: `90.7` is 90 seconds. */
const VISIBILITY: OptionReader<number> = {
  urlName: "visibility_timeout",
  fromUrl: (name, value) =>
    visibility(name, durationOption().fromUrl?.(name, value) ?? 0),
  fromObject: (name, value) =>
    visibility(name, durationOption().fromObject(name, value)),
};

function visibility(name: string, value: number): number {
  const seconds = Math.floor(value / 1000);
  if (seconds >= 1 && seconds <= 43_200) return seconds * 1000;
  throw new OptionError(
    `Cannot use ${
      value / 1000
    } seconds as "${name}": it must be from 1 second to 12 hours`,
  );
}

const TEXTS: OptionReader<Readonly<Record<string, string>>> = {
  fromObject(name, value) {
    if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value);
      if (entries.every(([, text]) => typeof text === "string")) {
        return Object.fromEntries(entries);
      }
    }
    throw new OptionError(
      `Cannot use the "${name}": it must be an object of strings`,
    );
  },
};

const ENDPOINT = (urlName: string): OptionReader<string> => {
  const text = stringOption(urlName);
  const check = (name: string, value: string): string => {
    const url = URL.parse(value);
    if (url?.protocol === "http:" || url?.protocol === "https:") return value;
    throw new OptionError(
      `Cannot use what was given as "${name}": it must be a URL that begins with https:// or http://`,
    );
  };
  return {
    urlName,
    fromUrl: check,
    fromObject: (name, value) => check(name, text.fromObject(name, value)),
  };
};

/** How they are read. */
export const SQS_OPTIONS: OptionReaders<GivenOptions> = {
  region: stringOption("region"),
  endpoint: ENDPOINT("endpoint"),
  snsEndpoint: ENDPOINT("sns_endpoint"),
  isSecure: booleanOption("is_secure"),
  credentials: CREDENTIALS,
  sessionToken: stringOption("session_token"),
  waitTime: secondsOption("wait_time_seconds", 1, 20),
  getWaitTime: secondsOption("get_wait_time_seconds", 0, 20),
  visibilityTimeout: VISIBILITY,
  queueNamePrefix: stringOption("queue_name_prefix"),
  predefinedQueues: PREDEFINED,
  fanout: wordOption("fanout", ["sns", "queue"] as const),
  base64Encoding: booleanOption("sqs_base64_encoding"),
  maxMessageSize: integerOption("max_message_size", 1024, MAX_MESSAGE_BYTES),
  queueAttributes: TEXTS,
  queueTags: TEXTS,
};
