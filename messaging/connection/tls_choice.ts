import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import type { Transport } from "../../transports/transport.ts";
import { unknownOption } from "../../url/mod.ts";

/** The values of all settings that decide about TLS. */
export interface TlsWords {
  /** The scheme, or the transport's name, that means TLS; `undefined` where neither does. */
  readonly scheme: string | undefined;
  /** The URL's parameters `ssl` and `ssl_…`. */
  readonly url: boolean | TlsOptions | undefined;
  /** The option `tls`. */
  readonly option: boolean | TlsOptions | undefined;
}

/**
 * Decides whether, and how, TLS is spoken. If one place turns it on and another turns it
 * off, the intention is unknown, and a guess might send a password in clear text.
 *
 * @param words The value of each setting.
 * @returns How TLS is spoken; `false` or `undefined` is not at all.
 * @throws {OptionError} If the places contradict each other, or the option is malformed.
 */
export function chooseTls(
  { scheme, url, option }: TlsWords,
): boolean | TlsOptions | undefined {
  checkTlsOption(option);
  const says: readonly (readonly [string, boolean | undefined])[] = [
    [`"${scheme}"`, scheme === undefined ? undefined : true],
    [`the URL's "ssl"`, url === undefined ? undefined : url !== false],
    [`the option "tls"`, option === undefined ? undefined : option !== false],
  ];
  const yes = says.find(([, word]) => word === true);
  const no = says.find(([, word]) => word === false);
  if (yes !== undefined && no !== undefined) {
    throw new OptionError(
      `Cannot tell whether to speak TLS: ${yes[0]} says yes and ${
        no[0]
      } says no; take one of them away`,
    );
  }
  if (yes === undefined) return no === undefined ? undefined : false;
  if (typeof option !== "object") return typeof url === "object" ? url : true;
  if (typeof url !== "object") return option;
  // A value in the URL wins; but not about whether the broker is verified.
  for (const name of ["verify", "checkHostname"] as const) {
    const [one, other] = [url[name], option[name]];
    if (one !== undefined && other !== undefined && one !== other) {
      throw new OptionError(
        `Cannot use "${name}" of the option "tls": the URL says ${one} and the option ${other}; take one of them away`,
      );
    }
  }
  return { ...option, ...url };
}

/**
 * Says whether a URL's scheme means TLS for a transport of a user's own.
 *
 * @param scheme The scheme.
 * @param transport The transport, whose `defaults` may say it.
 * @returns `true` also where the scheme is the transport's name with an `s` behind it; `undefined` where nothing says so.
 */
export function meansTls(
  scheme: string,
  { name, defaults }: Pick<Transport, "name" | "defaults">,
): boolean | undefined {
  return defaults?.tls ?? (scheme === `${name}s` ? true : undefined);
}

const FLAGS: ReadonlySet<string> = new Set(["verify", "checkHostname"]);
const TEXTS: ReadonlySet<string> = new Set([
  "ca",
  "cert",
  "key",
  "passphrase",
  "servername",
]);

/** Keys and passphrases are among the values: none is shown. */
function checkTlsOption(option: unknown): void {
  if (option === undefined || typeof option === "boolean") return;
  if (
    typeof option !== "object" || option === null || Array.isArray(option)
  ) {
    throw bad("tls", option, "true, false or an object");
  }
  for (const [name, value] of Object.entries(option)) {
    if (value === undefined) continue;
    if (FLAGS.has(name)) {
      if (typeof value !== "boolean") {
        throw bad(`tls.${name}`, value, "true or false");
      }
    } else if (TEXTS.has(name)) {
      const isList = name === "ca" && Array.isArray(value) &&
        value.every((each) => typeof each === "string");
      if (typeof value !== "string" && !isList) {
        throw bad(`tls.${name}`, value, "a text");
      }
    } else {
      throw unknownOption(`the option ${quote(name)} of "tls"`, name, [
        ...TEXTS,
        ...FLAGS,
      ]);
    }
  }
}

function bad(name: string, value: unknown, right: string): OptionError {
  const kind = value === null ? "null" : `a value of type ${typeof value}`;
  return new OptionError(
    `Cannot use ${kind} as "${name}": it must be ${right}`,
  );
}
