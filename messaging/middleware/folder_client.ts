import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { FolderClaimStore } from "./claim_store.ts";

/** How often `put` looks for bodies whose time is over, ms. */
const SWEEP_EVERY = 60_000;

/** A body's file: when its time is over, ms since 1970, and a name of its own. A reference may come from anybody, and is no path. */
const NAME = /^(\d{1,15})-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The end of the name of a file that is being written. */
const PART = ".part";

/**
 * Makes a claim store in a folder, a file for each body: on a file system that all processes
 * of the queue share. A body is on the disk before its message is published. The folder is
 * made with the first `put`; nothing else should be in it. It needs the permissions to read
 * and to write there.
 *
 * @param path The folder.
 * @param clock The time.
 * @returns The store.
 * @throws {OptionError} If the path is no text.
 *
 * @example Large bodies in a folder
 * ```ts ignore needs SQS, and a folder that is shared
 * import { createConnection } from "@dashi/mq";
 * import { claimCheck, createFolderClaimStore } from "@dashi/mq/middleware";
 *
 * const store = createFolderClaimStore("/mnt/shared/claims");
 * await using connection = createConnection("sqs://")
 *   .use(claimCheck({ store, over: 200_000 }));
 * ```
 */
export function createFolderClaimStore(
  path: string,
  clock: Clock = SYSTEM_CLOCK,
): FolderClaimStore {
  if (typeof path !== "string" || path === "") {
    throw new OptionError(
      `Cannot use ${
        quote(path)
      } as the folder of a claim store: it must be a path`,
    );
  }
  return new FolderClaims(path, clock);
}

/** Loaded with the first need: a program that has no such store needs no file system. */
const files = () => import("node:fs/promises");

class FolderClaims implements FolderClaimStore {
  readonly #path: string;
  readonly #clock: Clock;
  #sweepAt = 0;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  async put(
    body: Uint8Array,
    { expiry }: { readonly expiry: number },
  ): Promise<string> {
    const { mkdir, open, rename, rm } = await files();
    // Each time, for somebody may have removed it; what is written is far dearer.
    await mkdir(this.#path, { recursive: true });
    const until = Math.ceil(this.#clock.wall() + expiry);
    const reference = `${until}-${crypto.randomUUID()}`;
    const file = this.#fileOf(reference);
    try {
      const handle = await open(file + PART, "wx");
      try {
        await handle.writeFile(body);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(file + PART, file);
    } catch (error) {
      await rm(file + PART, { force: true }).catch(() => {});
      throw error;
    }
    if (this.#clock.now() >= this.#sweepAt) {
      this.#sweepAt = this.#clock.now() + SWEEP_EVERY;
      await this.sweep();
    }
    return reference;
  }

  async get(reference: string): Promise<Uint8Array | undefined> {
    const until = untilOf(reference);
    if (until === undefined || until <= this.#clock.wall()) return undefined;
    const { readFile } = await files();
    try {
      return new Uint8Array(await readFile(this.#fileOf(reference)));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async remove(reference: string): Promise<void> {
    if (untilOf(reference) === undefined) return;
    const { rm } = await files();
    await rm(this.#fileOf(reference), { force: true });
  }

  async sweep(): Promise<number> {
    const { readdir, rm } = await files();
    let names: string[];
    try {
      names = await readdir(this.#path);
    } catch (error) {
      if (isMissing(error)) return 0;
      throw error;
    }
    const now = this.#clock.wall();
    let count = 0;
    for (const name of names) {
      // One that a killed process was writing goes with its time, too.
      const reference = name.endsWith(PART)
        ? name.slice(0, -PART.length)
        : name;
      const until = untilOf(reference);
      if (until === undefined || until > now) continue;
      await rm(this.#fileOf(name), { force: true });
      count++;
    }
    return count;
  }

  #fileOf(name: string): string {
    return `${this.#path}/${name}`;
  }
}

function untilOf(reference: string): number | undefined {
  const until = NAME.exec(reference)?.[1];
  return until === undefined ? undefined : Number(until);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
