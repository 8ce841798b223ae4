import type { Clock } from "../../async/clock.ts";
import { AuthenticationError, MessagingError } from "../../model/errors.ts";

/** The credentials that requests are signed with. */
export interface SqsCredentials {
  /** The access key's id. */
  readonly accessKeyId: string;
  /** Its secret. */
  readonly secretAccessKey: string;
  /** The token that goes with a key that was lent for a time. */
  readonly sessionToken?: string | undefined;
  /** When that time is over; `undefined` is never. */
  readonly expiration?: Date | undefined;
}

/** Asked for credentials: before the first request, and again before they expire. */
export type SqsCredentialsFunction = () =>
  | SqsCredentials
  | Promise<SqsCredentials>;

/**
 * Says whether a value is credentials.
 *
 * @param value The value.
 * @returns Whether it is.
 */
export function isSqsCredentials(value: unknown): value is SqsCredentials {
  if (typeof value !== "object" || value === null) return false;
  const { accessKeyId, secretAccessKey, sessionToken, expiration }: {
    readonly [K in keyof SqsCredentials]?: unknown;
  } = value;
  return typeof accessKeyId === "string" &&
    typeof secretAccessKey === "string" &&
    (sessionToken === undefined || typeof sessionToken === "string") &&
    (expiration === undefined ||
      (expiration instanceof Date && !Number.isNaN(expiration.getTime())));
}

/** How long before their end credentials are asked for again, ms. */
const MARGIN = 5 * 60_000;

/** Asks for credentials, once for all requests that wait, and again before they expire. */
export class CredentialSource {
  readonly #ask: SqsCredentialsFunction;
  readonly #clock: Clock;
  #present: SqsCredentials | undefined;
  #askedAt = 0;
  #asking: Promise<SqsCredentials> | undefined;

  /** Makes one that has not asked yet. */
  constructor(ask: SqsCredentialsFunction, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** Gives the present credentials, or new ones where they are about to end. */
  async get(): Promise<SqsCredentials> {
    const present = this.#present;
    const now = this.#clock.wall();
    if (present !== undefined && now < this.#renewAt(present)) return present;
    try {
      this.#asking ??= this.#renew().finally(() => this.#asking = undefined);
      return await this.#asking;
    } catch (error) {
      // Credentials that have not expired yet serve until they do.
      const end = present?.expiration?.getTime() ?? 0;
      if (present !== undefined && this.#present === present && now < end) {
        return present;
      }
      throw error instanceof MessagingError ? error : cannotAsk(error);
    }
  }

  /** The secrets of the present credentials, which no error text may show. */
  get secrets(): readonly string[] {
    const { secretAccessKey, sessionToken } = this.#present ?? {};
    return [secretAccessKey, sessionToken].filter((each) => each !== undefined);
  }

  /** Forgets the present ones: AWS took them for expired. */
  forget(): void {
    this.#present = undefined;
  }

  /** Credentials with a short life are used for at least half of it. */
  #renewAt({ expiration }: SqsCredentials): number {
    if (expiration === undefined) return Infinity;
    const end = expiration.getTime();
    return end - Math.min(MARGIN, (end - this.#askedAt) / 2);
  }

  async #renew(): Promise<SqsCredentials> {
    const askedAt = this.#clock.wall();
    const credentials: unknown = await this.#ask();
    if (!isSqsCredentials(credentials)) throw noCredentials();
    this.#askedAt = askedAt;
    return this.#present = credentials;
  }
}

function cannotAsk(cause: unknown): AuthenticationError {
  return new AuthenticationError(
    "Cannot sign requests to AWS: the function for credentials failed",
    { cause, retryable: true, outcome: "not-sent" },
  );
}

function noCredentials(): AuthenticationError {
  return new AuthenticationError(
    "Cannot sign requests to AWS: the function for credentials gave something else; it must give { accessKeyId, secretAccessKey }, with a sessionToken and an expiration, a Date, where they were lent",
    { outcome: "not-sent" },
  );
}
