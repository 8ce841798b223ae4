import type { BrokerUrl } from "./broker_url.ts";

/** Brokers of NATS take a user without a password for a token. */
const TAKE_TOKENS: ReadonlySet<string> = new Set(["nats", "natss", "tls"]);

/** Finds the token in a URL: a secret in the user's place. */
export function tokenIn(
  { scheme, username, password }: Pick<
    BrokerUrl,
    "scheme" | "username" | "password"
  >,
): string | undefined {
  return TAKE_TOKENS.has(scheme) && password === undefined
    ? username
    : undefined;
}
