/** A disk that is full. */

import { isInstalled, startNats } from "../../brokers/nats.ts";
import { fillBroker, onSmallDisk } from "../../support/small_disk.ts";

onSmallDisk(
  "NATS: where there is no more room a publish says so, what is there is handed out, and all goes on when there is room",
  24,
  (disk) =>
    fillBroker(disk, {
      start: (dir) => startNats({ dir }),
      words: /insufficient resources/,
      bytes: 500_000,
      isBounded: true,
      flows: true,
    }),
  isInstalled() ? undefined : "nats-server is not installed",
);
