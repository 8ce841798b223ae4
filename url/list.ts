import type { BrokerUrl } from "./broker_url.ts";
import {
  isOfTls,
  isScheme,
  parseRest,
  parseUrl,
  withSlashes,
} from "./parse.ts";

/** Options of {@linkcode parseUrlList}. */
export interface ParseUrlListOptions {
  /** The scheme where the first URL has none. */
  readonly scheme: string;
  /** Says for a scheme whether several hosts may stand in one URL. */
  readonly severalHosts?: ((scheme: string) => boolean) | undefined;
  /** Says for a scheme whether a list's URLs are doors of one service, and a later one has what it lacks from the first. */
  readonly sharesFirst?: ((scheme: string) => boolean) | undefined;
}

/**
 * Splits what names one or several brokers into single URLs: arrays, and strings
 * joined with `;`. Empty ones are left out.
 *
 * @param input One URL or several.
 * @returns The URLs as they were written, in order; those of files with `//`.
 *
 * @example Two in one text
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { splitUrls } from "@dashi/mq/url";
 *
 * assertEquals(splitUrls("redis://a;redis://b"), ["redis://a", "redis://b"]);
 * ```
 */
export function splitUrls(
  input: string | URL | readonly (string | URL)[],
): readonly string[] {
  const list = typeof input === "string" || input instanceof URL
    ? [input]
    : input;
  return list.flatMap((each) => String(each).split(";"))
    .map((each) => withSlashes(each.trim()))
    .filter((each) => each !== "");
}

/**
 * Parses the URLs of one or several brokers. Each stands for itself; only an entry
 * without a scheme, such as `host`, `host:port` or `user:password@host/v`, has the
 * first one's scheme, and what else of its own it lacks.
 *
 * @param input One URL or several; nothing at all is the scheme's bare URL.
 * @param options The scheme for a first entry without one.
 * @returns The parts of each, in order; at least one.
 * @throws {SyntaxError} If one is malformed.
 *
 * @example A second host with the first one's credentials
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseUrlList } from "@dashi/mq/url";
 *
 * const urls = parseUrlList("amqp://user:secret@a/v;b", { scheme: "amqp" });
 * assertEquals(urls.map((url) => url.hostname), ["a", "b"]);
 * assertEquals(urls[1]?.username, "user");
 * ```
 */
export function parseUrlList(
  input: string | URL | readonly (string | URL)[],
  options: ParseUrlListOptions,
): readonly BrokerUrl[] {
  const {
    scheme,
    severalHosts = () => false,
    sharesFirst = () => false,
  } = options;
  const texts = splitUrls(input);
  refuseSplitSecrets(texts);
  let first: BrokerUrl | undefined;
  const urls = (texts.length === 0 ? [`${scheme}://`] : texts).map((text) => {
    const own = text.includes("://") ? schemeOf(text) : undefined;
    if (own !== undefined && !isScheme(own)) {
      throw new SyntaxError(
        `Cannot parse a URL with "://" behind something that is no scheme: write "/" in a user or a password as "%2F"`,
      );
    }
    if (own !== undefined) {
      const url = parseUrl(text, { severalHosts: severalHosts(own) });
      if (first?.scheme === own && sharesFirst(own)) {
        const { port, hosts } = url; // a port is each door's own
        return {
          ...inherit(url, first),
          port,
          hosts,
          query: { ...first.query, ...url.query },
        };
      }
      first ??= url;
      return url;
    }
    const inherited = first?.scheme ?? scheme;
    const parts = parseRest(text, { severalHosts: severalHosts(inherited) });
    const url = inherit({ scheme: inherited, ...parts }, first);
    first ??= url;
    return url;
  });
  return urls;
}

/**
 * Refuses entries that are one URL with a ";" in its password: behind one that ends like a
 * user and a beginning of a password, and behind any with no password of its own.
 */
function refuseSplitSecrets(texts: readonly string[]): void {
  for (const [i, text] of texts.entries()) {
    const before = texts[i - 1];
    if (before === undefined || text.includes("://")) continue;
    const [authority = ""] = text.split(/[/?#]/, 1);
    const at = authority.lastIndexOf("@");
    if (at < 0) continue;
    const isCutOff = /^(?:[^:]*:\/\/)?[^@/?#]*:[^@/?#]*$/.test(before);
    if (!isCutOff && authority.slice(0, at).includes(":")) continue;
    throw new SyntaxError(
      `Cannot parse a list of URLs with a user in an entry that has no scheme: give it one, and both a user and a password; a ";" in a password is written as "%3B"`,
    );
  }
}

/** In lower case; what stands before a "://" somewhere else is no scheme, and may be a secret. */
function schemeOf(text: string): string {
  return text.slice(0, text.indexOf("://")).toLowerCase();
}

function inherit(url: BrokerUrl, first: BrokerUrl | undefined): BrokerUrl {
  if (first === undefined) return url;
  const hasUser = url.username !== undefined || url.password !== undefined;
  return {
    ...url,
    port: url.port ?? first.port,
    hosts: url.hosts.map((host) => ({
      hostname: host.hostname,
      port: host.port ?? first.port,
    })),
    username: hasUser ? url.username : first.username,
    password: hasUser ? url.password : first.password,
    virtualHost: url.virtualHost ?? first.virtualHost,
    query: { ...tlsParameters(url, first), ...url.query },
  };
}

/** With the first one's password an entry has the first one's TLS, unless it says something of that itself. */
function tlsParameters(
  url: BrokerUrl,
  first: BrokerUrl,
): Readonly<Record<string, string>> {
  if (Object.keys(url.query).some(isOfTls)) return {};
  return Object.fromEntries(
    Object.entries(first.query).filter(([name]) => isOfTls(name)),
  );
}
