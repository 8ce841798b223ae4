import type { NativeClient } from "../transport.ts";

/**
 * `MongoClient` of the driver, for databases and collections of one's own, indexes,
 * transactions and aggregations.
 *
 * Do not close it. The collections whose names begin with `messages` are the library's:
 * documents that are written there by hand are not seen by it, or lose messages.
 */
export const nativeClient: NativeClient<
  InstanceType<(typeof import("mongodb"))["MongoClient"]>
> = {
  name: "mongodb",
  is: (
    client,
  ): client is InstanceType<(typeof import("mongodb"))["MongoClient"]> =>
    client instanceof Object && "db" in client && "startSession" in client,
};
