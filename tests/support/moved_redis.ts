/** A Redis whose calendar can be set, and nobody else's. */

import { type RedisServer, startRedis } from "../brokers/redis.ts";

/** A library between a process and the calendar: it adds the seconds that a file names. */
const MOVED = String.raw`
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long moved(void) {
  char digits[32] = {0};
  int file = open(getenv("MOVED_BY"), O_RDONLY);
  if (file < 0) return 0;
  ssize_t count = read(file, digits, sizeof digits - 1);
  close(file);
  return count > 0 ? strtol(digits, NULL, 10) : 0;
}

int gettimeofday(struct timeval *now, void *zone) {
  int (*next)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
  int result = next(now, zone);
  now->tv_sec += moved();
  return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int result = next(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += moved();
  return result;
}

time_t time(time_t *into) {
  struct timeval now;
  gettimeofday(&now, NULL);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}
`;

/** The server. */
export interface MovedRedis extends RedisServer, AsyncDisposable {
  /** Sets its clock so many seconds away from the machine's. */
  set(seconds: number): Promise<void>;
}

/** Whether the machine can make what moves the clock. */
export function canMoveClocks(): boolean {
  try {
    return Deno.build.os === "linux" && new Deno.Command("cc", {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}

/** Starts it. */
export async function startMovedRedis(): Promise<MovedRedis> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-clock-" });
  const [source, library, offset] = ["moved.c", "moved.so", "seconds"]
    .map((name) => `${folder}/${name}`);
  if (!source || !library || !offset) throw new Error("There are no names");
  await Deno.writeTextFile(source, MOVED);
  const made = await new Deno.Command("cc", {
    args: ["-shared", "-fPIC", "-o", library, source, "-ldl"],
  }).output();
  if (!made.success) throw new Error(new TextDecoder().decode(made.stderr));
  const set = (seconds: number) => Deno.writeTextFile(offset, String(seconds));
  await set(0);
  // The server has them from this process, which is not concerned itself.
  Deno.env.set("MOVED_BY", offset);
  Deno.env.set("LD_PRELOAD", library);
  let server: RedisServer;
  try {
    server = await startRedis({ arguments: ["--appendonly", "no"] });
  } finally {
    Deno.env.delete("LD_PRELOAD");
    Deno.env.delete("MOVED_BY");
  }
  return {
    ...server,
    set,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
