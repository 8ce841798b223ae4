import { quote } from "../../model/foreign_text.ts";
import { splitUrls } from "../../url/mod.ts";
import type { ConnectionOptions } from "./connection_options.ts";

/** The URL of a broker, or the URLs of several. */
export type UrlInput = string | URL | readonly (string | URL)[];

/** Examples of right URLs, for errors. */
const EXAMPLES =
  `"amqp://user:password@host:5672/virtual-host", "redis://host:6379" or "memory://"`;

/** The schemes of URLs, by the default ports of the brokers. */
const SCHEMES: ReadonlyMap<string, string> = new Map([
  ["4222", "nats"],
  ["5432", "postgres"],
  ["5671", "amqps"],
  ["5672", "amqp"],
  ["5984", "couchdb"],
  ["6379", "redis"],
  ["11300", "beanstalk"],
  ["26379", "sentinel"],
  ["27017", "mongodb"],
]);

/**
 * Takes apart what `createConnection` was given.
 *
 * @param given URLs, or the options alone.
 * @param options The options beside URLs.
 * @returns The URLs, none where the options say it all; and the options.
 * @throws {TypeError} If it names no broker.
 * @throws {SyntaxError} If a URL has no scheme, and no option says which transport it is for.
 */
export function readInput(
  given: UrlInput | ConnectionOptions,
  options: ConnectionOptions | undefined,
): readonly [urls: UrlInput, options: ConnectionOptions] {
  if (isOptions(given)) {
    if (options === undefined) return [[], given];
    throw new TypeError(
      "Cannot make a connection of two objects of options: give the URL first, or put all into one",
    );
  }
  checkUrls(given);
  const [first = ""] = splitUrls(given);
  if (first === "") {
    throw new TypeError(
      `Cannot make a connection of an empty URL: it should be like ${EXAMPLES}`,
    );
  }
  if (!first.includes("://") && options?.transport === undefined) {
    throw noScheme(first);
  }
  return [given, options ?? {}];
}

function isOptions(
  given: UrlInput | ConnectionOptions,
): given is ConnectionOptions {
  return typeof given === "object" && given !== null &&
    !Array.isArray(given) && !(given instanceof URL);
}

function checkUrls(given: unknown): void {
  const list = Array.isArray(given) ? given : [given];
  for (const each of list) {
    if (typeof each === "string" || each instanceof URL) continue;
    throw new TypeError(
      `Cannot make a connection of ${
        quote(each)
      }: it needs a URL like ${EXAMPLES}; an environment variable that is not set is undefined`,
    );
  }
}

/** It is not shown: it may be a password. */
function noScheme(text: string): SyntaxError {
  const [, port = ""] = /:(\d+)(?:\/|$)/.exec(text) ?? [];
  const scheme = SCHEMES.get(port);
  const right = scheme === undefined
    ? `it should be like ${EXAMPLES}`
    : `write "${scheme}://" before it, if port ${port} is what it usually is`;
  return new SyntaxError(
    `Cannot make a connection of a URL without a scheme: ${right}; or name a "transport"`,
  );
}
