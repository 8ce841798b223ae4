/** A disk that is full. */

import { findBeanstalk, startBeanstalk } from "../../brokers/beanstalk.ts";
import { fillBroker, onSmallDisk } from "../../support/small_disk.ts";

onSmallDisk(
  "beanstalk: where the disk is full a publish says so, what is there is handed out, and all goes on when there is room",
  4,
  (disk) =>
    fillBroker(disk, {
      start: (dir) => startBeanstalk({ dir, maxJobSize: 65_535, sync: true }),
      words: /OUT_OF_MEMORY/,
      bytes: 30_000,
      flows: true,
    }),
  findBeanstalk() === undefined ? "beanstalkd is not installed" : undefined,
);
