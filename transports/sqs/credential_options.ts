import { AuthenticationError, OptionError } from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import type { OptionReader } from "../../url/options.ts";
import type { ConnectOptions } from "../transport.ts";
import {
  isSqsCredentials,
  type SqsCredentials,
  type SqsCredentialsFunction,
} from "./credentials.ts";

/** Credentials, a function that is asked for them, or the SDK's own search. */
export type GivenCredentials =
  | SqsCredentials
  | SqsCredentialsFunction
  | "default";

/** The valid forms of credentials, for error texts. */
export const CREDENTIALS_ARE =
  '{ accessKeyId, secretAccessKey }, a function that gives such, or "default"';

/** Reads the option `credentials`. */
export const CREDENTIALS: OptionReader<GivenCredentials> = {
  fromObject(_, value) {
    if (isCredentials(value)) return value;
    throw new OptionError(
      `Cannot use the "credentials": they must be ${CREDENTIALS_ARE}`,
    );
  },
};

/**
 * Says whether a value is credentials as an option takes them.
 *
 * @param value The value.
 * @returns Whether it is.
 */
export function isCredentials(value: unknown): value is GivenCredentials {
  return value === "default" || typeof value === "function" ||
    isSqsCredentials(value);
}

/** The credentials among a connection's options. */
export interface CredentialOptions {
  readonly credentials?: GivenCredentials | undefined;
  readonly sessionToken?: string | undefined;
  /** Asked for the secret of the URL's key. */
  readonly password: ConnectOptions["password"];
  /** For what they are needed, for people; `undefined` where all queues have their own. */
  readonly neededBy: string | undefined;
}

/**
 * Reads whom to ask for a connection's credentials.
 *
 * @param url The URL.
 * @param options The options.
 * @returns Whom to ask; `undefined` is the SDK's own search.
 * @throws {OptionError} If there are none where some are needed, or two.
 */
export function readCredentials(
  { username, password }: BrokerUrl,
  options: CredentialOptions,
): SqsCredentialsFunction | undefined {
  const { credentials, sessionToken, neededBy } = options;
  if (username !== undefined) {
    if (credentials !== undefined) {
      throw new OptionError(
        'Cannot use "credentials" with a URL that has an access key: give one of the two',
      );
    }
    const secret = password === undefined ? options.password : () => password;
    if (secret === undefined) {
      throw new OptionError(
        `Cannot use an access key without its secret: write sqs://KEY:SECRET@, each percent-encoded`,
      );
    }
    return async () => ({
      accessKeyId: username,
      secretAccessKey: await secret(),
      sessionToken,
    });
  }
  if (credentials !== undefined) return askerOf(credentials);
  if (neededBy === undefined) return refuse;
  throw new OptionError(
    `Cannot sign requests to ${neededBy}: there are no credentials; write sqs://KEY:SECRET@, or give the transport option "credentials": an object, a function, or "default" for those of the environment`,
  );
}

/**
 * Makes of given credentials whom to ask.
 *
 * @param credentials The credentials.
 * @returns Whom to ask; `undefined` is the SDK's own search.
 */
export function askerOf(
  credentials: GivenCredentials,
): SqsCredentialsFunction | undefined {
  if (credentials === "default") return undefined;
  return typeof credentials === "function" ? credentials : () => credentials;
}

function refuse(): never {
  throw new AuthenticationError(
    'Cannot sign requests to SNS: only the predefined queues have credentials; give the connection some too, or fanout: "queue"',
    { outcome: "not-sent" },
  );
}
