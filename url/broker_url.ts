/** One host of a broker's URL. */
export interface BrokerHost {
  /** The name or address, without the brackets of IPv6. */
  readonly hostname: string | undefined;
  /** The port, 1 to 65535. */
  readonly port: number | undefined;
}

/** A broker's URL in its parts: percent-decoded, and `undefined` where missing. */
export interface BrokerUrl extends BrokerHost {
  /** The scheme in lower case: `amqp`, `redis+socket`. */
  readonly scheme: string;
  /** The user's name. */
  readonly username: string | undefined;
  /** The password. */
  readonly password: string | undefined;
  /** All hosts, the first of which is `hostname` and `port`; more than one where the transport takes several. */
  readonly hosts: readonly BrokerHost[];
  /** The virtual host: the path without its first slash. */
  readonly virtualHost: string | undefined;
  /** The query by name, decoded; of a name that stands twice the last. */
  readonly query: Readonly<Record<string, string>>;
}

/** The defaults that a transport fills in for parts that its URL leaves out. */
export interface UrlDefaults {
  /** The host. */
  readonly hostname?: string | undefined;
  /** The port. */
  readonly port?: number | undefined;
  /** The port under TLS: that of the option `tls`, and of a scheme that means it. @default {the port} */
  readonly tlsPort?: number | undefined;
  /** The user's name. */
  readonly username?: string | undefined;
  /** The password. */
  readonly password?: string | undefined;
  /** The virtual host. */
  readonly virtualHost?: string | undefined;
  /** Whether the scheme means TLS. @default {whether it is the transport's name with an `s` behind it, as `mines` of `mine`} */
  readonly tls?: boolean | undefined;
  /** Whether several hosts may stand in one URL, separated by commas. @default {false} */
  readonly severalHosts?: boolean | undefined;
  /**
   * Whether the URLs of a list are doors of one service: what a later one leaves out
   * of user, password, virtual host and query is the first one's. @default {false}
   */
  readonly sharesFirst?: boolean | undefined;
}
