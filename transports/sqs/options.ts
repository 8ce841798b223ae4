import { OptionError } from "../../model/errors.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import {
  booleanOption,
  durationOption,
  integerOption,
  type OptionReader,
  readOptions,
  stringOption,
} from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";
import type { SqsCredentials, SqsCredentialsFunction } from "./credentials.ts";
import { isFifo } from "./names.ts";

/** The SQS transport's own options, as `transportOptions` or in the URL. */
export interface SqsTransportOptions {
  /** AWS's region; in a URL `region`. @default {the endpoint's, or "us-east-1"} */
  readonly region?: string | undefined;
  /** Where SQS is, instead of the URL's host: `https://…`; in a URL `endpoint`. */
  readonly endpoint?: string | undefined;
  /** Where SNS is; in a URL `sns_endpoint`. @default {where SQS is, or AWS's own} */
  readonly snsEndpoint?: string | undefined;
  /** Whether the URL's host is spoken to by HTTPS; in a URL `is_secure`. @default {true for hosts of AWS, else false, as Kombu has it} */
  readonly isSecure?: boolean | undefined;
  /**
   * What requests are signed with, where the URL does not say: credentials, a function
   * that is asked for them and asked again before they expire, or `"default"` for the
   * SDK's own search through environment variables, files and AWS's services.
   */
  readonly credentials?:
    | SqsCredentials
    | SqsCredentialsFunction
    | "default"
    | undefined;
  /** Goes with the URL's credentials; in a URL `session_token`. */
  readonly sessionToken?: string | undefined;
  /** How long a receive waits for a message, whole seconds up to 20; in a URL `wait_time_seconds`. @default {20_000} */
  readonly waitTime?: number | undefined;
  /**
   * How long a `get` waits, whole seconds; in a URL `get_wait_time_seconds`. With 0 it
   * looks at some of SQS's servers only, and may find nothing where there is something. @default {1000}
   */
  readonly getWaitTime?: number | undefined;
  /**
   * Given to new queues, whole seconds; in a URL `visibility_timeout`. What is received
   * here is held for a minute at a time, or for this if it is less, and renewed. @default {1_800_000}
   */
  readonly visibilityTimeout?: number | undefined;
  /** Stands before the name of each queue and exchange; in a URL `queue_name_prefix`. @default {""} */
  readonly queueNamePrefix?: string | undefined;
  /** Queues that are there, name to URL: no other is used, and none is looked for, made or deleted. */
  readonly predefinedQueues?: Readonly<Record<string, string>> | undefined;
  /** Whether fanout exchanges are topics of SNS; in a URL `supports_fanout`. @default {true} */
  readonly supportsFanout?: boolean | undefined;
  /** Whether messages are written as base64, as Kombu does; in a URL `sqs_base64_encoding`. @default {true} */
  readonly base64Encoding?: boolean | undefined;
  /** The largest message as it is sent, bytes; in a URL `max_message_bytes`. @default {1_048_576} */
  readonly maxMessageBytes?: number | undefined;
  /** More attributes for new queues, such as `KmsMasterKeyId` or `RedrivePolicy`; Kombu's `sqs-creation-attributes`. */
  readonly creationAttributes?: Readonly<Record<string, string>> | undefined;
  /** Tags for new queues. */
  readonly queueTags?: Readonly<Record<string, string>> | undefined;
}

/** All that the store and its client need, with defaults filled in. */
export interface SqsSettings {
  readonly region: string | undefined;
  /** `undefined` is AWS's own. */
  readonly endpoint: string | undefined;
  readonly snsEndpoint: string | undefined;
  readonly tls: TlsOptions | undefined;
  /** `undefined` is the SDK's own search. */
  readonly credentials: SqsCredentialsFunction | undefined;
  readonly waitTime: number;
  readonly getWaitTime: number;
  readonly visibilityTimeout: number;
  readonly queueNamePrefix: string;
  readonly predefinedQueues: ReadonlyMap<string, string> | undefined;
  readonly supportsFanout: boolean;
  readonly base64Encoding: boolean;
  readonly maxMessageBytes: number;
  readonly creationAttributes: Readonly<Record<string, string>>;
  readonly queueTags: Readonly<Record<string, string>> | undefined;
}

/** AWS's since August 2025, for one message and for a batch; it was 256 KiB before, and is on queues that say so. */
const MOST_MESSAGE_BYTES = 1_048_576;

/** A host of AWS's own, and the region in it. */
const AWS_HOST =
  /(?:^|\.)([a-z]+(?:-[a-z]+)+-\d+)\.(?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?$|(?:^|\.)amazonaws\.com(?:\.cn)?$/;

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
  options: Pick<ConnectOptions, "tls" | "password" | "transportOptions">,
): SqsSettings {
  const { transportOptions } = options;
  const given = readOptions<SqsTransportOptions>(TABLE, {
    url,
    transportOptions,
  });
  const endpoint = given.endpoint ??
    endpointOf(url, given.isSecure ?? options.tls);
  const host = endpoint === undefined ? undefined : new URL(endpoint).hostname;
  const aws = host === undefined ? undefined : AWS_HOST.exec(host);
  const credentials = readCredentials(url, given, options.password);
  return {
    region: given.region ?? aws?.[1] ??
      (credentials === undefined ? undefined : "us-east-1"),
    endpoint,
    // Where AWS's SQS is, SNS is not.
    snsEndpoint: given.snsEndpoint ?? (aws ? undefined : endpoint),
    tls: typeof options.tls === "object" ? options.tls : undefined,
    credentials,
    waitTime: given.waitTime ?? 20_000,
    getWaitTime: given.getWaitTime ?? 1000,
    visibilityTimeout: given.visibilityTimeout ?? 1_800_000,
    queueNamePrefix: given.queueNamePrefix ?? "",
    predefinedQueues: given.predefinedQueues === undefined
      ? undefined
      : new Map(Object.entries(given.predefinedQueues)),
    supportsFanout: given.supportsFanout ?? true,
    base64Encoding: given.base64Encoding ?? true,
    maxMessageBytes: given.maxMessageBytes ?? MOST_MESSAGE_BYTES,
    creationAttributes: given.creationAttributes ?? {},
    queueTags: given.queueTags,
  };
}

function endpointOf(
  { hostname, port }: BrokerUrl,
  secure: boolean | TlsOptions | undefined,
): string | undefined {
  if (hostname === undefined) return undefined;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const tls = secure ?? AWS_HOST.test(hostname);
  return `http${tls === false ? "" : "s"}://${host}${
    port === undefined ? "" : `:${port}`
  }`;
}

function readCredentials(
  { userid, password }: BrokerUrl,
  { credentials, sessionToken }: SqsTransportOptions,
  ask: ConnectOptions["password"],
): SqsCredentialsFunction | undefined {
  if (userid !== undefined) {
    if (credentials !== undefined) {
      throw invalid(
        'Cannot use "credentials" with a URL that has an access key: give one of the two',
      );
    }
    const secret = password === undefined ? ask : () => password;
    if (secret === undefined) {
      throw invalid(
        `Cannot use an access key without its secret: write sqs://KEY:SECRET@, each percent-encoded`,
      );
    }
    return async () => ({
      accessKeyId: userid,
      secretAccessKey: await secret(),
      sessionToken,
    });
  }
  if (credentials === "default") return undefined;
  if (typeof credentials === "function") return credentials;
  if (credentials !== undefined) return () => credentials;
  throw invalid(
    'Cannot sign requests to SQS: there are no credentials; write sqs://KEY:SECRET@, or give the transport option "credentials": an object, a function, or "default" for those of the environment',
  );
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
    throw invalid(
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
  throw invalid(
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
    throw invalid(`Cannot use the "${name}": it must be an object of strings`);
  },
};

const QUEUES: OptionReader<Readonly<Record<string, string>>> = {
  fromObject(name, value) {
    const queues = TEXTS.fromObject(name, value);
    for (const [queue, url] of Object.entries(queues)) {
      if (!URL.canParse(url)) {
        throw invalid(
          `Cannot use "${url}" as the URL of the predefined queue "${queue}": it must be like https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`,
        );
      }
      if (isFifo(queue) !== isFifo(url)) {
        throw invalid(
          `Cannot use "${url}" as the URL of the predefined queue "${queue}": both or neither must end with ".fifo"`,
        );
      }
    }
    return queues;
  },
};

const ENDPOINT = (urlName: string): OptionReader<string> => {
  const text = stringOption(urlName);
  const check = (name: string, value: string): string => {
    const url = URL.parse(value);
    if (url?.protocol === "http:" || url?.protocol === "https:") return value;
    throw invalid(
      `Cannot use "${value}" as "${name}": it must be a URL that begins with https:// or http://`,
    );
  };
  return {
    urlName,
    fromUrl: check,
    fromObject: (name, value) => check(name, text.fromObject(name, value)),
  };
};

type Credentials = Exclude<SqsTransportOptions["credentials"], undefined>;

const CREDENTIALS: OptionReader<Credentials> = {
  fromObject(_, value) {
    if (isCredentials(value)) return value;
    throw invalid(
      'Cannot use the "credentials": they must be { accessKeyId, secretAccessKey }, a function that gives such, or "default"',
    );
  },
};

function isCredentials(value: unknown): value is Credentials {
  if (value === "default" || typeof value === "function") return true;
  return typeof value === "object" && value !== null &&
    "accessKeyId" in value && typeof value.accessKeyId === "string" &&
    "secretAccessKey" in value && typeof value.secretAccessKey === "string";
}

const TABLE: {
  readonly [K in keyof SqsTransportOptions]-?: OptionReader<
    Exclude<SqsTransportOptions[K], undefined>
  >;
} = {
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
  predefinedQueues: QUEUES,
  supportsFanout: booleanOption("supports_fanout"),
  base64Encoding: booleanOption("sqs_base64_encoding"),
  maxMessageBytes: integerOption("max_message_bytes", 1024, MOST_MESSAGE_BYTES),
  creationAttributes: TEXTS,
  queueTags: TEXTS,
};

function invalid(message: string): OptionError {
  return new OptionError(message, { code: "option-invalid" });
}
