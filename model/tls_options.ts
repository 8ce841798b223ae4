import { OptionError } from "./errors.ts";

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
 * Reads whether TLS is spoken, and how.
 *
 * @param ssl The option `ssl` of a connection.
 * @param usual Whether it is spoken where the option says nothing: what the scheme says.
 * @returns The options; `undefined` is no TLS.
 * @throws {OptionError} If the scheme says that TLS is spoken, and the option that it is not:
 * a guess might send a password in clear text.
 *
 * @example The scheme says it, and the option says how
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { OptionError, readTls } from "@dashi/mq/url";
 *
 * assertEquals(readTls(undefined, true), {});
 * assertEquals(readTls(undefined, false), undefined);
 * assertEquals(readTls({ servername: "db" }, false), { servername: "db" });
 * assertThrows(() => readTls(false, true), OptionError, "take one of them away");
 * ```
 */
export function readTls(
  ssl: boolean | TlsOptions | undefined,
  usual: boolean,
): TlsOptions | undefined {
  if (ssl === false && usual) {
    throw new OptionError(
      'Cannot tell whether to speak TLS: the scheme says yes, and the option "tls" or the URL\'s "ssl" says no; take one of them away',
    );
  }
  const tls = ssl ?? usual;
  return tls === true ? {} : tls || undefined;
}

/** TLS options as `node:tls` takes them. */
export interface NodeTlsOptions {
  /** The authorities to trust. */
  ca?: string[];
  /** The client's certificate. */
  cert?: string;
  /** Its private key. */
  key?: string;
  /** The key's passphrase. */
  passphrase?: string;
  /** The name to ask for. */
  servername?: string;
  /** Whether the broker's certificate is verified. */
  rejectUnauthorized?: boolean;
  /** Looks at the name in the certificate. */
  checkServerIdentity?: () => undefined;
}

/**
 * Writes TLS options as `node:tls` takes them, for the clients that are built on it.
 *
 * @param tls The options; `undefined` is no TLS.
 * @returns The options of `tls.connect`, without those that were not given.
 *
 * @example For a client over `node:tls`
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { nodeTlsOptions } from "@dashi/mq/url";
 *
 * const options = nodeTlsOptions({ ca: "PEM", verify: false });
 * assertEquals(options, { ca: ["PEM"], rejectUnauthorized: false });
 * ```
 */
export function nodeTlsOptions(tls: TlsOptions | undefined): NodeTlsOptions {
  if (tls === undefined) return {};
  const { ca, cert, key, passphrase, servername } = tls;
  const options: NodeTlsOptions = { rejectUnauthorized: tls.verify ?? true };
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
