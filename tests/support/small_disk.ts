/** A disk of some megabytes, for tests that fill it: a tmpfs, which Linux lets root mount. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import type { Server } from "../brokers/server.ts";

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

/** Registers a test on a disk of so many megabytes, unless there is a reason not to run it. */
export function onSmallDisk(
  name: string,
  megabytes: number,
  run: (disk: SmallDisk) => Promise<void>,
  reason?: string,
): void {
  const why = reason ??
    (canMount() ? undefined : "only root of Linux can mount a small disk");
  Deno.test({
    name: why === undefined ? name : `${name} (${why})`,
    ignore: why !== undefined,
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

/** A broker whose disk a test fills. */
export interface FilledBroker {
  /** Starts it, with its folder in that one. */
  readonly start: (dir: string) => Promise<Server>;
  /** Words of its error. */
  readonly words: RegExp;
  /** How large bodies are, bytes. */
  readonly bytes: number;
  /** Whether it has a limit of its own below the size of its disk. @default {false} */
  readonly isBounded?: boolean;
  /** Whether it hands out messages, and takes acks, while its disk is full. */
  readonly flows: boolean;
}

/**
 * Publishes until a broker's disk is full, and drains it when there is room: all that was
 * confirmed comes.
 */
export async function fillBroker(
  disk: SmallDisk,
  { start, words, bytes, isBounded = false, flows }: FilledBroker,
): Promise<void> {
  const server = await start(disk.folder);
  try {
    await using connection = createConnection(server.url, {
      onUnhandled: () => {},
    });
    const queue = new Queue<string>("filled");
    const sent: string[] = [];
    let count = 0;
    const send = async (timeout: number) => {
      const messageId = `m${count++}`;
      await connection.send(queue, "x".repeat(bytes), { messageId, timeout });
      sent.push(messageId);
    };
    await send(10_000);
    if (!isBounded) disk.fill();
    let error: Error & { retryable?: boolean } | undefined;
    // On a busy machine the time of a call may be over before the broker has said why.
    for (let late = 0; late < 10 && !words.test(error?.message ?? "");) {
      await send(2000).catch((each) => {
        error = each;
        late++;
      });
      assert(count < 500, "the disk is not full");
    }
    assert(words.test(error?.message ?? ""), String(error));
    assertEquals(error?.retryable, true);
    const filled = connection.queue(queue);
    const seen = new Set<string | undefined>();
    const take = async () => {
      const message = await filled.get();
      if (message === undefined) return false;
      seen.add(message.properties.messageId);
      await message.ack();
      return true;
    };
    if (flows) { for (let n = 0; n < 3; n++) assert(await take()); }
    if (!isBounded) disk.makeRoom();
    await send(30_000);
    while (await take());
    assertEquals(sent.filter((id) => !seen.has(id)), []);
  } finally {
    await server.stop();
  }
}
