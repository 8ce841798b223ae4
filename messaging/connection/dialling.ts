import type { Limits } from "../../async/limits.ts";
import { hideSecrets } from "../../model/secrets.ts";
import type {
  ConnectOptions,
  Transport,
  TransportConnection,
} from "../../transports/transport.ts";
import { type BrokerUrl, fillDefaults, formatUrl } from "../../url/mod.ts";
import { tokenIn } from "../../url/token.ts";
import type { Endpoint } from "./endpoint.ts";
import { meansTls } from "./tls_choice.ts";
import { readTlsFiles } from "./tls_files.ts";
import { boundedPassword } from "./password.ts";

/** Names of options, and of parameters of URLs, whose values nobody should read. */
const SECRET = /password|secret|token|passphrase/i;

/** The options that the session decides. */
type DialOptions = Pick<
  ConnectOptions,
  "name" | "owner" | "hasOthers" | "clock" | "signal" | "deadline" | "onEvent"
>;

/**
 * Connects once, and makes sure that errors show no secret, though the server may repeat
 * it.
 *
 * @param endpoint The address, the login and the options.
 * @param transport Its transport.
 * @param limits The limits of the session.
 * @param options The options that the session decides.
 * @returns The connection.
 */
export async function dialOnce(
  endpoint: Endpoint,
  transport: Transport,
  limits: Limits,
  options: DialOptions,
): Promise<TransportConnection> {
  const { transportOptions } = endpoint;
  const password = boundedPassword(endpoint, limits, options);
  const { maxResponseSize, heartbeat, operationTimeout } = endpoint;
  const { tlsFiles, readFile } = endpoint;
  const { scheme } = endpoint.url;
  let {
    tls = endpoint.isFilledLater ? meansTls(scheme, transport) : undefined,
  } = endpoint;
  const url = completed({ ...endpoint, tls }, transport);
  try {
    if (tlsFiles.length > 0 && readFile !== undefined) {
      const read = await readTlsFiles(tlsFiles, readFile, limits, options);
      tls = { ...(typeof tls === "object" ? tls : {}), ...read };
    }
    return await transport.connect(url, {
      ...options,
      tls,
      maxResponseSize,
      heartbeat,
      operationTimeout,
      transportOptions,
      password,
    });
  } catch (error) {
    const { username = "" } = url;
    const secrets = secretsOf(endpoint); // a password that was asked for now is among them
    const basic = secrets.map((each) => base64(`${username}:${each}`));
    hideSecrets(error, [...basic, ...secrets], formatUrl(url));
    throw error;
  }
}

/** The URL with the defaults of its transport, if that was not imported yet when the URL was read. */
function completed(
  { url, tls, password, isFilledLater }: Endpoint,
  { defaults = {} }: Transport,
): BrokerUrl {
  if (!isFilledLater) return url;
  return fillDefaults(
    url,
    password === undefined ? defaults : { ...defaults, password: undefined },
    { tls: tls !== undefined && tls !== false },
  );
}

/**
 * Lists what nobody should read of an endpoint: its password, those that a function gave
 * in place of it, and what else is secret in its options.
 *
 * @param endpoint The endpoint.
 * @returns The secrets.
 */
export function secretsOf(
  { url, passwordsGiven, transportOptions }: Endpoint,
): string[] {
  const secrets = [...passwordsGiven];
  if (url.password !== undefined) secrets.push(url.password);
  const token = tokenIn(url);
  if (token !== undefined && passwordsGiven.length === 0) secrets.push(token);
  for (const table of [url.query, transportOptions]) {
    for (const [name, value] of Object.entries(table)) {
      if (typeof value === "string" && SECRET.test(name)) secrets.push(value);
    }
  }
  return secrets;
}

/** As HTTP's basic authentication has it. */
function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
