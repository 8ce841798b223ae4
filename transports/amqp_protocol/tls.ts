import type { TlsOptions } from "../../model/tls_options.ts";

/**
 * Writes TLS options as `node:tls` takes them.
 *
 * @param tls The options; `undefined` is no TLS.
 * @returns The options of `tls.connect`.
 */
export function tlsOptions(
  tls: TlsOptions | undefined,
): Record<string, unknown> {
  if (tls === undefined) return {};
  const { ca, cert, key, passphrase, servername } = tls;
  const options: Record<string, unknown> = {
    rejectUnauthorized: tls.verify ?? true,
  };
  if (ca !== undefined) options.ca = typeof ca === "string" ? [ca] : [...ca];
  if (cert !== undefined) options.cert = cert;
  if (key !== undefined) options.key = key;
  if (passphrase !== undefined) options.passphrase = passphrase;
  if (servername !== undefined) options.servername = servername;
  if (tls.checkHostname === false) {
    options.checkServerIdentity = () => undefined;
  }
  return options;
}
