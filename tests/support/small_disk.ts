/** A disk of some megabytes, for tests that fill it: a tmpfs, which Linux lets root mount. */

/** Runs a program; says whether it succeeded. */
function succeeds(command: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(command, { args, stderr: "null" }).outputSync()
      .success;
  } catch {
    return false; // there is no such program
  }
}

function mount(folder: string, megabytes: number): boolean {
  const size = `size=${megabytes}m`;
  return succeeds("mount", "-t", "tmpfs", "-o", size, "dashi-tests", folder);
}

function canMount(): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  const folder = Deno.makeTempDirSync({ prefix: "dashi-disk-" });
  const isMounted = mount(folder, 1);
  if (isMounted) succeeds("umount", "-l", folder);
  Deno.removeSync(folder);
  return isMounted;
}

/** A small disk. */
export interface SmallDisk {
  readonly folder: string;
  /** Writes a file that takes the room that is left, but for so many bytes. */
  fill(left?: number): void;
  /** Removes that file. */
  makeRoom(): void;
}

/** Registers a test on a disk of so many megabytes. */
export function onSmallDisk(
  name: string,
  megabytes: number,
  run: (disk: SmallDisk) => Promise<void>,
): void {
  const can = canMount();
  Deno.test({
    name: can ? name : `${name} (only root of Linux can mount a small disk)`,
    ignore: !can,
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "dashi-disk-" });
      if (!mount(folder, megabytes)) throw new Error("it cannot be mounted");
      const ballast = `${folder}/ballast`;
      try {
        await run({
          folder,
          fill(left = 0) {
            using file = Deno.openSync(ballast, { write: true, create: true });
            const chunk = new Uint8Array(4096).fill(1);
            let size = 0;
            try {
              for (;;) size += file.writeSync(chunk);
            } catch {
              // No space is left.
            }
            file.truncateSync(Math.max(0, size - left));
          },
          makeRoom: () => Deno.removeSync(ballast),
        });
      } finally {
        succeeds("umount", "-l", folder);
        await Deno.remove(folder);
      }
    },
  });
}
