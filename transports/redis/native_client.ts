import type { NativeClient } from "../transport.ts";

/**
 * `Redis` of ioredis, for commands of one's own: `get`, `xadd`, pipelines, scripts.
 *
 * It is the socket by which messages are published, settled and counted. A command that
 * blocks the socket (`blpop`, `xread` with `BLOCK`, `wait`), changes it (`select`,
 * `subscribe`, `monitor`, `CLIENT REPLY`, `CLIENT TRACKING`) or ends it belongs on a
 * `duplicate()`. The keys of queues are the library's.
 */
export const nativeClient: NativeClient<
  InstanceType<(typeof import("ioredis"))["Redis"]>
> = {
  name: "ioredis",
  is: (client): client is InstanceType<(typeof import("ioredis"))["Redis"]> =>
    client instanceof Object && "duplicate" in client && "xadd" in client,
};
