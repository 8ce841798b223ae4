import type { TlsOptions } from "../../model/tls_options.ts";

/** What the driver is told of TLS, in its words. */
export interface TlsConfig {
  readonly tls?: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly passphrase?: string;
  readonly servername?: string;
  readonly tlsAllowInvalidCertificates?: boolean;
  readonly tlsAllowInvalidHostnames?: boolean;
}

/**
 * Says in the driver's words whether, and how, to speak TLS.
 *
 * @param tls What the library was told; without it the scheme decides: `mongodb+srv` speaks it by itself.
 * @returns The driver's options.
 */
export function tlsConfig(tls: boolean | TlsOptions | undefined): TlsConfig {
  if (tls === undefined) return {};
  if (typeof tls === "boolean") return { tls };
  const { ca, cert, key, passphrase, servername } = tls;
  return {
    tls: true,
    ...given("ca", typeof ca === "object" ? [...ca].join("\n") : ca),
    ...given("cert", cert),
    ...given("key", key),
    ...given("passphrase", passphrase),
    ...given("servername", servername),
    ...(tls.verify === false ? { tlsAllowInvalidCertificates: true } : {}),
    ...(tls.checkHostname === false ? { tlsAllowInvalidHostnames: true } : {}),
  };
}

/**
 * Makes an option of a value, if there is one: the driver takes no `undefined`.
 *
 * @param name The option.
 * @param value Its value.
 * @returns The option, or none.
 */
export function given<K extends string, V>(
  name: K,
  value: V | undefined,
): { [P in K]?: V } {
  const options: { [P in K]?: V } = {};
  if (value !== undefined) options[name] = value;
  return options;
}
