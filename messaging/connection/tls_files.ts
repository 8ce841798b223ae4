import type { Limits } from "../../async/limits.ts";
import { OptionError, TimeoutError } from "../../model/errors.ts";
import { errorText } from "../../model/error_text.ts";
import { quote } from "../../model/foreign_text.ts";
import type { TlsOptions } from "../../model/tls_options.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { TlsFile } from "../../url/mod.ts";

/** Reads a file that a URL names, for this library reads none: its text. */
export type ReadFile = (path: string) => string | Promise<string>;

/**
 * Reads the files that a URL names for TLS: before each connect, for certificates are
 * renewed.
 *
 * @param files The files.
 * @param readFile The function that reads one.
 * @param limits The limits of the session.
 * @param call How long it may take.
 * @returns Their texts, each as the option that it is.
 * @throws {OptionError} If one cannot be read: it names the parameter and the file.
 * @throws {TimeoutError} If one is not read in time.
 */
export async function readTlsFiles(
  files: readonly TlsFile[],
  readFile: ReadFile,
  limits: Limits,
  call: CallOptions,
): Promise<TlsOptions> {
  const read = async ({ name, option, path }: TlsFile) => {
    const what = `"${name}", the file ${quote(path)}`;
    let text: unknown;
    try {
      text = await readFile(path);
    } catch (cause) {
      throw new OptionError(`Cannot read ${what}: ${errorText(cause)}`, {
        cause,
      });
    }
    if (typeof text === "string") return [option, text] as const;
    throw new OptionError(
      `Cannot use what "readFile" gave for ${what}: it must be a text`,
    );
  };
  const all = Promise.all(files.map(read));
  return Object.fromEntries(
    await limits.wait(
      all,
      call,
      () =>
        new TimeoutError(
          `Cannot connect in time: "readFile" has not answered for "${
            files.map(({ name }) => name).join('", "')
          }"`,
          { outcome: "not-sent" },
        ),
    ),
  );
}
