import type { NativeClient } from "../transport.ts";

/**
 * `DatabaseSync` of `node:sqlite`, on Bun `Database` of `bun:sqlite`: for tables of one's
 * own in the same file.
 *
 * Do not close it, and leave no transaction open: all connections of the process to the
 * file share it. The tables whose names begin with `dashi_` are the library's.
 */
export const nativeClient: NativeClient<
  InstanceType<(typeof import("node:sqlite"))["DatabaseSync"]>
> = {
  name: "sqlite",
  is: (
    client,
  ): client is InstanceType<(typeof import("node:sqlite"))["DatabaseSync"]> =>
    client instanceof Object && "prepare" in client && "exec" in client,
};
