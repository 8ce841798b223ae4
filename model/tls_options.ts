/** How to speak TLS. The certificate of the broker is verified unless `verify` says otherwise. */
export interface TlsOptions {
  /** Certificates of the authorities to trust instead of the system's: PEM texts. */
  readonly ca?: string | readonly string[] | undefined;
  /** The client's certificate: a PEM text. Needs `key`. */
  readonly cert?: string | undefined;
  /** The private key of `cert`: a PEM text. */
  readonly key?: string | undefined;
  /** The passphrase of `key`. */
  readonly passphrase?: string | undefined;
  /** The name that the broker's certificate must have, and that is asked for (SNI). @default {the URL's hostname} */
  readonly servername?: string | undefined;
  /** Whether the broker's certificate is verified. @default {true} */
  readonly verify?: boolean | undefined;
  /** Whether the name in the certificate must be `servername`. @default {true} */
  readonly checkHostname?: boolean | undefined;
}

/**
 * Writes TLS options as `node:tls` takes them, for the clients that are built on it.
 *
 * @param tls The options; `undefined` is no TLS.
 * @returns The options of `tls.connect`.
 */
export function nodeTlsOptions(
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
