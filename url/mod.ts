/**
 * Broker URLs: parsing, formatting, and reading the options in them. Pure, and
 * free of dependencies.
 *
 * @example Parse and format
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { formatUrl, parseUrl } from "@dashi/mq/url";
 *
 * const url = parseUrl("amqp://localhost//foo");
 * assertEquals(url.virtualHost, "/foo");
 * assertEquals(formatUrl(url, { includePassword: true }), "amqp://localhost//foo");
 * ```
 *
 * @module
 */

export * from "./broker_url.ts";
export * from "./defaults.ts";
export * from "./format.ts";
export * from "./list.ts";
export * from "./options.ts";
export { parseUrl, type ParseUrlOptions } from "./parse.ts";
export { readSharedQuery, type SharedOptions, type TlsFile } from "./query.ts";
export * from "../model/tls_options.ts";
export { OptionError } from "../model/errors.ts";
