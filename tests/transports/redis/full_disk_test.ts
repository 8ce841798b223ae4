/** A disk that is full. */

import { hasRedis, startRedis } from "../../brokers/redis.ts";
import { fillBroker, onSmallDisk } from "../../support/small_disk.ts";

onSmallDisk(
  "redis: where the disk is full a publish says so, and all goes on when there is room",
  24,
  (disk) =>
    fillBroker(disk, {
      // With "always" the server ends itself: it has confirmed nothing that it could not write.
      start: (dir) =>
        startRedis({ dir, arguments: ["--appendfsync", "everysec"] }),
      words: /MISCONF.*No space left on device/,
      bytes: 200_000,
      flows: false,
    }),
  hasRedis() ? undefined : "redis-server is not on this machine",
);
