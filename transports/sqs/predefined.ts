import { OptionError } from "../../model/errors.ts";
import type { OptionReader } from "../../url/options.ts";
import {
  askerOf,
  CREDENTIALS_ARE,
  type GivenCredentials,
  isCredentials,
} from "./credential_options.ts";
import type { SqsCredentials, SqsCredentialsFunction } from "./credentials.ts";
import { regionOf } from "./hosts.ts";
import { isFifo } from "./names.ts";

/** A predefined queue with credentials or a region of its own. */
export interface SqsPredefinedQueue {
  /** Its URL: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`. */
  readonly url: string;
  /** Its region. @default {its URL's, or the connection's} */
  readonly region?: string | undefined;
  /** The credentials that its requests are signed with, as the option `credentials`. @default {the connection's} */
  readonly credentials?:
    | SqsCredentials
    | SqsCredentialsFunction
    | "default"
    | undefined;
}

/** Whom requests go to, and what they are signed with: one client each. */
export interface SqsAccess {
  readonly region: string | undefined;
  /** `undefined` is AWS's own, or where a queue's URL leads. */
  readonly endpoint: string | undefined;
  /** `undefined` is the SDK's own search. */
  readonly credentials: SqsCredentialsFunction | undefined;
}

/** A predefined queue, with defaults filled in. */
export interface PredefinedQueue {
  readonly url: string;
  readonly access: SqsAccess;
}

const NAMES: ReadonlySet<string> = new Set(["url", "region", "credentials"]);

/** Reads the option `predefinedQueues`. */
export const PREDEFINED: OptionReader<
  Readonly<Record<string, SqsPredefinedQueue>>
> = {
  fromObject(option, value) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new OptionError(
        `Cannot use the "${option}": it must be an object of URLs, or of { url, region, credentials }`,
      );
    }
    return Object.fromEntries(
      Object.entries(value).map((
        [queue, given],
      ) => [queue, read(queue, given)]),
    );
  },
};

function read(queue: string, value: unknown): SqsPredefinedQueue {
  const { url, region, credentials, ...others } = fieldsOf(queue, value);
  for (const name of Object.keys(others)) {
    throw new OptionError(
      `Cannot use "${name}" of the predefined queue "${queue}": there is no such option; there are ${
        [...NAMES].join(", ")
      }`,
      { code: "option-unknown" },
    );
  }
  if (typeof url !== "string" || !URL.canParse(url)) {
    throw new OptionError(
      `Cannot use what was given as the URL of the predefined queue "${queue}": it must be like https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`,
    );
  }
  if (isFifo(queue) !== isFifo(url)) {
    throw new OptionError(
      `Cannot use the URL of the predefined queue "${queue}": both it and the name or neither must end with ".fifo"`,
    );
  }
  if (region !== undefined && typeof region !== "string") {
    throw new OptionError(
      `Cannot use the region of the predefined queue "${queue}": it must be a string`,
    );
  }
  if (credentials !== undefined && !isCredentials(credentials)) {
    throw new OptionError(
      `Cannot use the credentials of the predefined queue "${queue}": they must be ${CREDENTIALS_ARE}`,
    );
  }
  return { url, region, credentials };
}

function fieldsOf(
  queue: string,
  value: unknown,
): Readonly<Record<string, unknown>> {
  if (typeof value === "string") return { url: value };
  if (typeof value === "object" && value !== null) return { ...value };
  throw new OptionError(
    `Cannot use the predefined queue "${queue}": it must be a URL, or { url, region, credentials }`,
  );
}

/**
 * Fills in what predefined queues leave out. Queues that are reached and signed for in the
 * same way have the same `access`.
 *
 * @param given The queues.
 * @param own How the connection reaches AWS itself.
 * @returns The queues by name.
 */
export function withAccess(
  given: Readonly<Record<string, SqsPredefinedQueue>>,
  own: SqsAccess,
): ReadonlyMap<string, PredefinedQueue> {
  const known: {
    readonly key: GivenCredentials | undefined;
    access: SqsAccess;
  }[] = [{ key: undefined, access: own }];
  const accessOf = (queue: SqsPredefinedQueue): SqsAccess => {
    const { url, credentials: key } = queue;
    const region = queue.region ?? regionOf(url) ?? own.region;
    // Another region is not to be had at one of AWS's own; a stand-in has them all.
    const there = regionOf(own.endpoint) ?? region;
    const endpoint = there === region ? own.endpoint : undefined;
    const found = known.find(({ key: other, access }) =>
      access.region === region && access.endpoint === endpoint &&
      isSame(key, other)
    );
    if (found !== undefined) return found.access;
    const access: SqsAccess = {
      region,
      endpoint,
      credentials: key === undefined ? own.credentials : askerOf(key),
    };
    known.push({ key, access });
    return access;
  };
  return new Map(
    Object.entries(given).map(([name, queue]) => [
      name,
      { url: queue.url, access: accessOf(queue) },
    ]),
  );
}

function isSame(
  one: GivenCredentials | undefined,
  other: GivenCredentials | undefined,
): boolean {
  if (typeof one !== "object" || typeof other !== "object") {
    return one === other;
  }
  return one.accessKeyId === other.accessKeyId &&
    one.secretAccessKey === other.secretAccessKey &&
    one.sessionToken === other.sessionToken;
}
