/** The brokers where we meet Kombu. */

import type { Meeting } from "./stage.ts";

/** RabbitMQ. */
export const AMQP: Meeting = {
  name: "amqp",
  broker: provided("AMQP"),
  highestFirst: true,
  lacks: { batch: "Kombu has no batches on AMQP" },
};

/** RabbitMQ, by the second client. */
export const AMQP_CLIENT: Meeting = {
  ...AMQP,
  name: "amqp_client",
  transport: "pika",
};

/** Redis, for the table of cases. */
export const REDIS: Meeting = redis(11);

/** Redis, with its keys and channels named otherwise. */
export const REDIS_NAMES: Meeting = {
  ...redis(13, {
    ours: {
      globalKeyPrefix: "kp:",
      separator: ":",
      fanoutPrefix: "/x{db}y.",
      fanoutPatterns: false,
    },
    theirs: {
      global_keyprefix: "kp:",
      sep: ":",
      fanout_prefix: "/x{db}y.",
      fanout_patterns: false,
    },
  }),
  name: "redis, other names,",
};

/** Redis, for Celery and its results. */
export const CELERY_REDIS: Meeting = redis(12);

/**
 * Redis, in a database that no other test uses: what is unacked is shared by all who
 * use it, and here it is taken back after two seconds.
 */
function redis(
  database: number,
  options: Pick<Meeting, "ours" | "theirs"> = {},
): Meeting {
  return {
    name: "redis",
    broker: provided(
      "REDIS",
      (url) => `${url.replace(/\/\d*$/, "")}/${database}`,
    ),
    // Kombu serves the lowest first there.
    highestFirst: false,
    ours: {
      priorityOrder: "lowest-first",
      visibilityTimeout: 2000,
      ...options.ours,
    },
    theirs: {
      ...options.theirs,
      visibility_timeout: 2,
      unacked_restore_throttle: 1,
      unacked_restore_interval: 1,
    },
    lacks: { headers: "Kombu has no headers exchanges on Redis" },
  };
}

/** SQS, and SNS for fanout, as the tests' stand-in has them. */
export const SQS: Meeting = {
  name: "sqs",
  broker: provided("SQS"),
  highestFirst: true,
  ordered: false,
  told: [],
  ours: { visibilityTimeout: 2000, waitTime: 1000, getWaitTime: 1000 },
  theirs: {
    region: "us-east-1",
    is_secure: false,
    visibility_timeout: 2,
    wait_time_seconds: 1,
    polling_interval: 0.1,
    supports_fanout: true,
  },
  lacks: {
    batch: "Kombu has no batches on SQS",
    expiration: "messages on SQS do not expire by themselves",
    bindings: "on SQS bindings are known to their own connection alone",
    headers: "Kombu has no headers exchanges on SQS",
    priority: "SQS has no priorities",
  },
};

/** The features that Kombu lacks on MongoDB. */
const NOT_ON_MONGODB = {
  batch: "Kombu has no batches on MongoDB",
  headers: "Kombu has no headers exchanges on MongoDB",
  restore: "Kombu deletes what it takes from MongoDB, and knows no claims",
};

/** MongoDB. */
export const MONGODB: Meeting = {
  name: "mongodb",
  broker: provided("MONGODB"),
  highestFirst: true,
  theirs: { polling_interval: 0.1 },
  lacks: {
    ...NOT_ON_MONGODB,
    fanout: "Kombu's fanout on MongoDB is a capped collection of its own",
    "fanout from Kombu": "that is a capped collection of its own",
  },
};

/** MongoDB as FerretDB speaks it, which has capped collections. In a new database: what was broadcast in an old one confuses Kombu. */
export const FERRETDB: Meeting = {
  ...MONGODB,
  name: "ferretdb",
  broker: provided(
    "FERRETDB",
    (url) => url.replace(/\/\w*$/, `/dashi_${crypto.randomUUID().slice(0, 8)}`),
  ),
  ours: { fanout: "broadcast" },
  lacks: {
    ...NOT_ON_MONGODB,
    atomic: "FerretDB gives a document to several who ask at once",
    fanout:
      "Kombu's cursor dies in an empty collection, and passes over messages in one that is not",
  },
};

function provided(
  name: string,
  adapt: (url: string) => string = (url) => url,
): Meeting["broker"] {
  const url = Deno.env.get(`DASHI_TEST_${name}_URL`);
  return url === undefined
    ? {
      reason: Deno.env.get(`DASHI_TEST_${name}_REASON`) ??
        "there is no broker",
    }
    : { url: adapt(url) };
}
