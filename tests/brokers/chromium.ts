/** Finds a Chromium, or installs it, as the servers of the tests are. */

import { run } from "./server.ts";

/** Debian's, Fedora's and macOS' places, and Google's build of it. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/**
 * Finds the browser: `DASHI_TEST_CHROMIUM`, or one that is installed, or one that is
 * installed now by apt-get.
 *
 * @returns The path of its program.
 * @throws {Error} If there is none, and none can be installed here.
 */
export async function provideChromium(): Promise<string> {
  const given = Deno.env.get("DASHI_TEST_CHROMIUM");
  if (given !== undefined) return given;
  const found = findChromium();
  if (found !== undefined) return found;
  if (Deno.build.os === "linux" && Deno.uid() === 0) {
    const env = { DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update", "-q"], env);
    await run("apt-get", [
      ...["-o", "DPkg::Lock::Timeout=120", "install", "-q", "-y"],
      ...["--no-install-recommends", "chromium", "fonts-dejavu-core"],
    ], env);
  }
  const installed = findChromium();
  if (installed !== undefined) return installed;
  throw new Error(
    "There is no Chromium, and it could not be installed: install it, or set DASHI_TEST_CHROMIUM to its program",
  );
}

function findChromium(): string | undefined {
  return PLACES.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}
