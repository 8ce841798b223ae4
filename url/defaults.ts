import type { BrokerUrl, UrlDefaults } from "./broker_url.ts";

/**
 * Completes a URL with what its transport takes for granted.
 *
 * @param url The URL.
 * @param defaults The transport's defaults.
 * @param options Whether TLS is spoken: then the port is TLS's.
 * @returns The URL; the parts that it has stay as they are. A port of 0 counts as none.
 *
 * @example A host and a port
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { fillDefaults, parseUrl } from "@dashi/mq/url";
 *
 * const url = fillDefaults(parseUrl("amqp://"), {
 *   hostname: "localhost",
 *   port: 5672,
 * });
 * assertEquals([url.hostname, url.port], ["localhost", 5672]);
 * ```
 */
export function fillDefaults(
  url: BrokerUrl,
  defaults: UrlDefaults,
  options: { readonly tls?: boolean | undefined } = {},
): BrokerUrl {
  const port = options.tls ? defaults.tlsPort ?? defaults.port : defaults.port;
  return {
    ...url,
    username: url.username ?? defaults.username,
    password: url.password ?? defaults.password,
    hostname: url.hostname ?? defaults.hostname,
    port: url.port || port,
    hosts: url.hosts.map((host) => ({
      hostname: host.hostname ?? defaults.hostname,
      port: host.port || port,
    })),
    virtualHost: url.virtualHost ?? defaults.virtualHost,
  };
}
