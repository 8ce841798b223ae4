/** A root of a newer Debian beside the machine's own, whose servers are run out of it. */

import { run } from "../brokers/server.ts";
import { cacheFolder, cachePath } from "../support/cache.ts";

/** The release that has the newest servers, and no script of its own in older versions of debootstrap. */
const RELEASE = "forky";
const SCRIPT = "sid";

const PACKAGES = [
  "rabbitmq-server",
  "redis-server",
  "valkey-server",
  "postgresql-18",
  "ca-certificates",
];

/** The folder that the root has, too, under the same path: what servers of tests write lies there. */
const SHARED = "/tmp/dashi-newest";

/** A root that can be run in. */
export interface DebianRoot extends AsyncDisposable {
  /** Its path. */
  readonly path: string;
  /** The folder for temporary files that it has, too, under the same path. */
  readonly shared: string;
  /** Makes a folder of commands that run those of the root, by paths in it. */
  commands(
    name: string,
    paths: Readonly<Record<string, string>>,
    user?: string,
  ): Promise<string>;
}

/**
 * Opens the root, and installs it before where it is not there: that takes some minutes.
 *
 * @param say Is told what is done.
 * @throws {Error} If there can be none here: it says why.
 */
export async function openRoot(
  say: (line: string) => void,
): Promise<DebianRoot> {
  if (Deno.build.os !== "linux") {
    throw new Error(
      `a root of Debian needs Linux, and this is ${Deno.build.os}`,
    );
  }
  if (Deno.uid() !== 0) {
    throw new Error("to run programs of another root needs to be root");
  }
  const path = cachePath(`debian-${RELEASE}`);
  const done = `${path}.installed`;
  const wanted = PACKAGES.join(" ");
  if (await Deno.readTextFile(done).catch(() => "") !== wanted) {
    say(`installing ${wanted} of Debian ${RELEASE} in ${path} …`);
    await removeRoot(path);
    await install(path);
    await Deno.writeTextFile(done, wanted);
  }
  for (const each of [SHARED, `${path}${SHARED}`]) {
    await Deno.mkdir(each, { recursive: true });
    await Deno.chmod(each, 0o1777);
  }
  const mounted: string[] = [];
  const unmount = async () => {
    for (const each of mounted.splice(0).reverse()) {
      await run("umount", ["-l", each]).catch(() => {});
    }
  };
  try {
    for (
      const [at, args] of [
        [`${path}/proc`, ["-t", "proc", "proc"]],
        [`${path}${SHARED}`, ["--bind", SHARED]],
      ] as const
    ) {
      await run("mount", [...args, at]);
      mounted.push(at);
    }
  } catch (error) {
    await unmount();
    throw error;
  }
  return {
    path,
    shared: SHARED,
    async commands(name, paths, user) {
      const folder = await cacheFolder(`debian-${RELEASE}-commands/${name}`);
      const as = user === undefined ? "" : ` --userspec=${user}`;
      for (const [command, inside] of Object.entries(paths)) {
        await Deno.writeTextFile(
          `${folder}/${command}`,
          `#!/bin/sh\nexec chroot${as} "${path}" "${inside}" "$@"\n`,
          { mode: 0o755 },
        );
      }
      return folder;
    },
    [Symbol.asyncDispose]: unmount,
  };
}

/** Nothing that is mounted there, by a run that was killed, is removed with it. */
async function removeRoot(path: string): Promise<void> {
  const mounts = async () =>
    (await Deno.readTextFile("/proc/mounts")).split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((at) => at.startsWith(`${path}/`));
  for (const each of await mounts()) await run("umount", ["-l", each]);
  const [left] = await mounts();
  if (left !== undefined) throw new Error(`${left} is mounted, and in the way`);
  await Deno.remove(path, { recursive: true }).catch(() => {});
}

async function install(path: string): Promise<void> {
  const tools = await Deno.makeTempDir({ prefix: "dashi-debootstrap-" });
  try {
    await run("apt-get", ["update", "-q"]);
    const source = await mirror();
    // Not installed: the machine stays as it is.
    await run("sh", [
      "-c",
      `cd "${tools}" && apt-get download -q debootstrap && dpkg -x debootstrap_*.deb .`,
    ]);
    const share = `${tools}/usr/share/debootstrap`;
    await run(`${tools}/usr/sbin/debootstrap`, [
      "--variant=minbase",
      `--include=${PACKAGES.join(",")}`,
      RELEASE,
      path,
      source,
      `${share}/scripts/${SCRIPT}`,
    ], { DEBOOTSTRAP_DIR: share });
  } finally {
    await Deno.remove(tools, { recursive: true });
  }
}

/** The place that this machine has its own packages from. */
async function mirror(): Promise<string> {
  const format = "$(ORIGIN) $(SITE)";
  const told = await run("apt-get", ["indextargets", "--format", format]);
  const site = told.split("\n").map((line) => line.split(" ")).find((
    [origin, site = ""],
  ) => origin === "Debian" && !site.includes("security"))?.[1];
  if (site === undefined) {
    throw new Error("this machine's packages are not Debian's");
  }
  return site;
}
