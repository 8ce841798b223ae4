import {
  type NodeTlsOptions,
  nodeTlsOptions,
  type TlsOptions,
} from "../../model/tls_options.ts";
import type { CredentialSource, SqsCredentials } from "./credentials.ts";

/** The address of a service, and the way to reach it. */
export interface Place {
  readonly region: string | undefined;
  /** `undefined` is AWS's own. */
  readonly endpoint: string | undefined;
  readonly tls: TlsOptions | undefined;
  /** How far its clock is ahead of ours, as another client has heard, ms. */
  readonly clockOffset: number;
}

/** The configuration of the SDK's clients, as far as it is the same for both. */
export interface ClientConfig {
  readonly region?: string;
  readonly endpoint?: string;
  readonly credentials?: CredentialsProvider;
  readonly ignoreConfiguredEndpointUrls: boolean;
  readonly authSchemePreference: string[];
  readonly defaultsMode: "standard";
  readonly retryMode: "standard";
  readonly maxAttempts: number;
  readonly useDualstackEndpoint: boolean;
  readonly useFipsEndpoint: boolean;
  readonly disableClockSkewCorrection: boolean;
  /** How far AWS's clock is ahead of this machine's, as far as is known, ms. */
  readonly systemClockOffset: number;
  readonly userAgentAppId: string;
  readonly defaultUserAgentProvider: () => Promise<[string, string][]>;
  readonly logger: Logger;
  readonly requestHandler: {
    readonly httpAgent: AgentOptions;
    readonly httpsAgent: AgentOptions;
    readonly logger: Logger;
  };
}

/** Asked for credentials before each request; `memoized` tells the SDK not to keep them. */
export interface CredentialsProvider {
  (): Promise<Credentials>;
  readonly memoized: true;
}

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

interface AgentOptions extends NodeTlsOptions {
  readonly keepAlive: boolean;
  readonly maxSockets: number;
}

interface Logger {
  debug(): void;
  info(): void;
  warn(): void;
  error(): void;
}

/** The SDK would write to the console by itself: a library does not. */
const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Makes what a client of the SDK is made with. It sets every value that the SDK would
 * otherwise look up by itself in the environment, in files and of the system.
 *
 * @param place The address of the service.
 * @param credentials Whom to ask; `undefined` is the SDK's own search.
 * @param attempts How often a request is attempted where its failure may pass.
 * @returns The configuration.
 */
export function clientConfig(
  { region, endpoint, tls, clockOffset }: Place,
  credentials: CredentialSource | undefined,
  attempts: number,
): ClientConfig {
  // Each waiting receive has a socket: a limit would hold up all else behind them.
  const agent = { keepAlive: true, maxSockets: Infinity };
  return {
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined
      ? {}
      : { credentials: providerOf(credentials) }),
    ignoreConfiguredEndpointUrls: true,
    authSchemePreference: [],
    defaultsMode: "standard",
    retryMode: "standard",
    maxAttempts: attempts,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    disableClockSkewCorrection: false,
    systemClockOffset: clockOffset,
    userAgentAppId: "dashi",
    // The SDK's own would tell the operating system's release.
    defaultUserAgentProvider: () => Promise.resolve([["lang", "js"]]),
    logger: SILENT,
    requestHandler: {
      httpAgent: agent,
      httpsAgent: { ...agent, ...nodeTlsOptions(tls) },
      logger: SILENT,
    },
  };
}

function providerOf(source: CredentialSource): CredentialsProvider {
  const provide = async () => identityOf(await source.get());
  return Object.assign(provide, { memoized: true as const });
}

function identityOf(credentials: SqsCredentials): Credentials {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return sessionToken === undefined
    ? { accessKeyId, secretAccessKey }
    : { accessKeyId, secretAccessKey, sessionToken };
}
