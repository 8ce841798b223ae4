/** The folder for files that take the tests long to make: in the user's cache folder, outside the checkout. */

/** The path of the folder for one thing, whether it is there or not. */
export function cachePath(name: string): string {
  return `${userCache()}/dashi-tests/${name}`;
}

/** The folder for one thing, made if it is not there. */
export async function cacheFolder(name: string): Promise<string> {
  const folder = cachePath(name);
  await Deno.mkdir(folder, { recursive: true });
  return folder;
}

function userCache(): string {
  const given = Deno.env.get("XDG_CACHE_HOME");
  if (given !== undefined && given !== "") return given;
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ".";
  return Deno.build.os === "darwin"
    ? `${home}/Library/Caches`
    : `${home}/.cache`;
}
